"""A command that torchrun starts several times: the first process does it, the others help."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from gvr_bench.core.errors import UsageError
from gvr_bench.pipeline.progress import PlainDisplay

if TYPE_CHECKING:
    import torch

    from gvr_bench.core.interrupts import Stop
    from gvr_bench.core.process_group import ProcessGroup
    from gvr_bench.core.stage import Stage
    from gvr_bench.pipeline.runner import Runner
    from gvr_bench.pipeline.worker import Worker


def process_group_for(device: torch.device, stop: Stop) -> ProcessGroup:
    """Return the processes of this run, this one with a GPU of its own. Raises `UsageError`."""
    from gvr_bench.core.process_group import process_group

    found = process_group()
    found.stop = stop
    found.settle(device)
    return found


def follow(process_group: ProcessGroup, runner: Runner) -> None:
    """Take part in the trainings to which the first process calls, until its run has ended."""
    from gvr_bench.pipeline.steps.train_networks import is_shared
    from gvr_bench.pipeline.worker import Worker

    shared = [stage for stage in runner.plan.stages if is_shared(stage)]
    worker = Worker(runner.cache, runner.options, runner.stop)
    process_group.follow({stage.key: partial(train, worker, stage) for stage in shared})


def train(worker: Worker, stage: Stage) -> None:
    """Train as the first process does, and leave the writing to it."""
    from gvr_bench.pipeline.stage_context import StageContext
    from gvr_bench.pipeline.steps.train_networks import TRAIN

    ctx = worker.context(stage, PlainDisplay(Console(quiet=True), ""))
    TRAIN[stage.kind](StageContext(stage, worker.cache, ctx))


def to_say(line: str, *, stopped: bool) -> str:
    """Return what this process prints as it ends; nothing where another one prints why."""
    from gvr_bench.core.process_group import process_group

    try:
        return process_group().line(line, stopped)
    except UsageError:
        return line
