"""What `gvr-bench run` does while workers compute: it watches them, and the cache."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator
from typing import Protocol, Self

from gvr_bench.core.errors import GvrError
from gvr_bench.pipeline.executors.request import WorkerReply, WorkerRequest
from gvr_bench.pipeline.progress import Display, TaskProgress
from gvr_bench.pipeline.run_state import RunState

POLL = 0.5  # seconds between two looks at the cache
PATIENCE = 5.0  # seconds for workers to notice that a run is complete
MAX_IDLE_LOSSES = 10  # workers that may be lost while no stage ends


class Workers(Protocol):
    """Starts workers, by number; a context, which stops those that still run.

    `count` is their number, 0 where it is not known before they start.
    """

    request: WorkerRequest
    count: int

    def __enter__(self) -> Self:
        """Start all workers. Raises `UsageError`."""

    def __exit__(self, *why: object) -> None:
        """Stop the workers, with a checkpoint of each training."""

    @property
    def running(self) -> Collection[int]:
        """The workers that have been started and have not ended."""

    def start(self, number: int) -> None:
        """Start a worker, in place of one that was lost."""

    def ended(self, seconds: float) -> Iterator[tuple[int, WorkerReply | None]]:
        """Wait up to so many seconds for workers to end; yield them, None for one that was lost.

        Raises `GvrError` where a worker cannot work.
        """


def watch(workers: Workers, state: RunState, display: Display) -> None:
    """Let workers compute what is missing, replacing those that are lost.

    Raises `GvrError` where one cannot go on, or where they die again and again.
    """
    lost = ended = 0
    complete_at = math.inf
    stages = TaskProgress(display.details, "stages", even=False)
    with workers.request.marked(), workers, stages as progress:
        while workers.running and time.monotonic() < complete_at + PATIENCE:
            for number, reply in workers.ended(POLL):
                if check_reply(reply, state):
                    continue
                lost = lost + 1 if ended == len(state.outcomes) else 1
                ended = len(state.outcomes)
                if lost > MAX_IDLE_LOSSES:
                    raise GvrError(f"{lost} workers died in a row; was memory short?")
                display.warn("a worker was lost; its work goes on in another")
                workers.start(number)
            state.update()
            if state.complete:
                complete_at = min(complete_at, time.monotonic())
            running = f"running {names_of_running(state, display)}"
            progress(display.number, display.total, running, display.time_left())


def check_reply(reply: WorkerReply | None, state: RunState) -> bool:
    """Show the warnings of a worker that ended; whether it did all its work. Raises `GvrError`."""
    if reply is None:
        return False
    for warning in reply.warnings:
        state.warn_once(warning)
    if reply.error:
        raise GvrError(reply.error)
    return not reply.stopped


def names_of_running(state: RunState, display: Display) -> str:
    """Name up to three of the explainers and other stages that are computed now."""
    keys = state.cache.running()
    stages = [stage for stage in state.plan.stages if stage.key[:16] in keys]
    names = list(dict.fromkeys(s.name if s.key in display.titles else str(s) for s in stages))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
