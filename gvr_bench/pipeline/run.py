"""A run from its request to its folder; the command line writes the page after it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gvr_bench.core.data_parallel import are_several
from gvr_bench.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch
    from rich.console import Console

    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.config.experiments import Experiment
    from gvr_bench.config.spec import Spec
    from gvr_bench.core.interrupts import Stop
    from gvr_bench.core.process_group import ProcessGroup
    from gvr_bench.pipeline.collect import Outcome
    from gvr_bench.pipeline.executors.local import Executor
    from gvr_bench.pipeline.options import RunOptions
    from gvr_bench.pipeline.plan import Plan
    from gvr_bench.pipeline.runner import Runner


@dataclass(frozen=True)
class RunRequest:
    """What to run, and how. Nothing but `spec` changes a result beyond rounding.

    `out` is the run's folder, by default one in `reports`; `recompute` names kinds of stages or
    components to compute again, or `all`. `experiment` is written beside the records.
    """

    spec: Spec
    out: Path | None = None
    cache_dir: Path | None = None
    device: str = "auto"
    batch_size: int = 128
    checkpoint_seconds: float = 30.0
    recompute: tuple[str, ...] = ()
    cached_only: bool = False
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    experiment: Experiment | None = None

    def folder(self, plan: Plan) -> Path:
        """Return the run's folder."""
        name = self.experiment.name if self.experiment else self.spec.dataset[0].name
        return self.out or Path("reports") / f"{name}-{plan.key[:8]}"


@dataclass(frozen=True)
class RunResult:
    """A run's folder, and how each of its stages ended, by key."""

    folder: Path
    outcomes: Mapping[str, Outcome]
    runner: Runner

    def notify_plugins(self, console: Console) -> None:
        """Tell plugins that the run has ended; call it once all files are in the folder."""
        self.runner.notify_plugins(self.folder, console)

    @property
    def failed(self) -> bool:
        """Whether some stage failed."""
        return any(outcome.status == "failed" for outcome in self.outcomes.values())


def plan_request(request: RunRequest) -> tuple[Plan, ArtifactCache]:
    """Plan a run and open its cache.

    Raises `UsageError`, `PluginError` or `DataError`; computes nothing.
    """
    from gvr_bench.cache.artifacts import ArtifactCache, default_cache_dir
    from gvr_bench.pipeline.plan import make_plan
    from gvr_bench.registry.registry import installed

    plan = make_plan(request.spec, installed())
    check_recompute(plan, request.recompute, cached_only=request.cached_only)
    return plan, ArtifactCache(request.cache_dir or default_cache_dir())


def run_request(request: RunRequest, stop: Stop, console: Console) -> RunResult | None:
    """Compute what is missing and write the run's folder.

    Of several processes that torchrun started, only the first returns a result. Raises `GvrError`
    where the run cannot go on; a stage that fails is an outcome.
    """
    from gvr_bench.pipeline.options import RunOptions, choose_device
    from gvr_bench.pipeline.runner import Runner
    from gvr_bench.registry.registry import installed

    began = time.time()
    check_executor(request)
    plan, cache = plan_request(request)
    device = choose_device(request.device)
    group = join_processes(device, stop) if are_several() else None
    options = RunOptions(
        device,
        request.batch_size,
        request.checkpoint_seconds,
        frozenset(request.recompute),
        request.cached_only,
        group,
    )
    executor = executor_for(request, plan, cache, options, stop)
    runner = Runner(plan, cache, installed(), options, stop, executor)
    if group and group.rank:
        follow(group, runner)
        return None
    runner.prepare()
    folder = create_folder(request.folder(plan))
    runner.run(console)
    if request.experiment:
        request.experiment.write(folder)
    runner.write(folder, began, console)
    if group:
        group.announce("")
    return RunResult(folder, runner.outcomes, runner)


def check_recompute(plan: Plan, names: Collection[str], *, cached_only: bool) -> None:
    """Refuse a `--recompute` that means nothing in this plan. Raises `UsageError`."""
    known = {s.kind for s in plan.stages} | {s.name for s in plan.stages} | {"all"}
    for name in names:
        if name not in known:
            raise UsageError(f"--recompute {name}: no such stage{did_you_mean(name, known)}")
    if names and cached_only:
        raise UsageError(
            "--recompute computes again and --cached-only computes nothing; leave one out"
        )


def check_executor(request: RunRequest) -> None:
    """Refuse options that do not go together. Raises `UsageError`."""
    if request.executor == "local" and request.ray_address is not None:
        raise UsageError("--ray-address is that of a Ray cluster; add --executor ray")
    if request.executor == "ray" and are_several():
        raise UsageError("--executor ray starts its own processes; leave torchrun out")


def create_folder(folder: Path) -> Path:
    """Create the run's folder. Raises `UsageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the run's folder {folder}: {error.strerror}; choose another with "
            "--out DIR"
        ) from error
    return folder


def executor_for(
    request: RunRequest, plan: Plan, cache: ArtifactCache, options: RunOptions, stop: Stop
) -> Executor | None:
    """Return the executor of a run, None for this process."""
    if request.executor == "local":
        return None
    from gvr_bench.pipeline.executors.ray import RayExecutor

    return RayExecutor(plan, cache, options, request.ray_address, stop)


def join_processes(device: torch.device, stop: Stop) -> ProcessGroup:
    """Return the processes of this run, this one with a GPU of its own. Raises `UsageError`."""
    from gvr_bench.core.process_group import process_group

    group = process_group()
    group.connect(device, stop)
    return group


def follow(group: ProcessGroup, runner: Runner) -> None:
    """Take part in the trainings that the first process starts, until its run has ended."""
    from rich.console import Console

    from gvr_bench.pipeline.progress import Display
    from gvr_bench.pipeline.worker import is_data_parallel

    display = Display(Console(quiet=True), 0)
    stages = [stage for stage in runner.plan.stages if is_data_parallel(stage)]
    group.follow({s.key: partial(runner.worker.train_along, s, display) for s in stages})
