"""What an executor of stages does, and the one that works in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.worker import Worker


class Executor(Protocol):
    """Computes stages whose inputs are in the cache; a context, once for each run."""

    def __enter__(self) -> Self:
        """Begin a run."""

    def __exit__(self, *why: object) -> None:
        """End what still runs."""

    @property
    def running(self) -> Mapping[str, Stage]:
        """Stages that were started and have not come back from `next`, by key."""

    @property
    def free(self) -> bool:
        """Whether another stage may be started."""

    def start(self, stage: Stage) -> None:
        """Take a stage on. Raises `UsageError`."""

    def next(self, display: Display) -> tuple[Stage, Outcome]:
        """Wait for a started stage to end, and return its outcome; one that raises has ended.

        Raises what `Worker.compute` does.
        """


class LocalExecutor:
    """Computes one stage after the other in this process."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.running: dict[str, Stage] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.running.clear()

    @property
    def free(self) -> bool:
        """Whether no stage is started."""
        return not self.running

    def start(self, stage: Stage) -> None:
        """Take a stage on."""
        self.running[stage.key] = stage

    def next(self, display: Display) -> tuple[Stage, Outcome]:
        """Compute the stage that was started."""
        _, stage = self.running.popitem()
        return stage, self.worker.compute(stage, display)
