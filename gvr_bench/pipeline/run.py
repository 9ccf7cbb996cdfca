"""A run from its request to its folder; the command line writes the page after it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gvr_bench.core.errors import UsageError
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.process_group import are_several
from gvr_bench.pipeline.worker_count import workers_and_threads

if TYPE_CHECKING:
    from rich.console import Console

    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.config.experiments import Experiment
    from gvr_bench.config.spec import Spec
    from gvr_bench.core.interrupts import Stop
    from gvr_bench.core.process_group import ProcessGroup
    from gvr_bench.pipeline.collect import Outcome
    from gvr_bench.pipeline.executors.watch import Workers
    from gvr_bench.pipeline.options import RunOptions
    from gvr_bench.pipeline.plan import Plan
    from gvr_bench.pipeline.runner import Runner


@dataclass(frozen=True)
class RunRequest:
    """What to run, and how. Nothing but `spec` changes a result beyond rounding.

    `out` is the run's folder, by default one in `reports`; `recompute` names kinds of stages or
    components to compute again, or `all`. `workers` is the number of processes that compute, by
    default one for each GPU, or one for each core (for as many as OMP_NUM_THREADS says), up to 8;
    what explanations wait for is then trained before they start, with all cores. Workers with the
    same `run_id` try a stage that fails once. `experiment` is written beside the records, and
    `command`, by default the one that repeats the run. A `quiet` run shows no progress.
    """

    spec: Spec
    out: Path | None = None
    cache_dir: Path | None = None
    device: str = "auto"
    batch_size: int = 128
    checkpoint_seconds: float = 30.0
    recompute: tuple[str, ...] = ()
    cached_only: bool = False
    workers: int | None = None
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    run_id: str = ""
    experiment: Experiment | None = None
    command: str = ""
    quiet: bool = False

    @property
    def name(self) -> str:
        return self.experiment.name if self.experiment else self.spec.dataset[0].name

    def folder(self, plan: Plan) -> Path:
        return self.out or Path("reports") / f"{self.name}-{plan.key[:8]}"

    @property
    def cache_root(self) -> Path:
        from gvr_bench.cache.artifacts import default_cache_dir

        return (self.cache_dir or default_cache_dir()).resolve()


@dataclass(frozen=True)
class RunResult:
    """A run's folder, and how each of its stages ended, by key."""

    folder: Path
    outcomes: Mapping[str, Outcome]
    runner: Runner

    def notify_plugins(self) -> None:
        """Tell plugins that the run has ended; call it once all files are in the folder."""
        self.runner.notify_plugins(self.folder)

    @property
    def failed(self) -> bool:
        return any(outcome.status == "failed" for outcome in self.outcomes.values())


def plan_request(request: RunRequest) -> tuple[Plan, ArtifactCache]:
    """Plan a run and open its cache; computes nothing. Raises `GvrError`."""
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.pipeline.plan import make_plan
    from gvr_bench.registry.registry import installed

    plan = make_plan(request.spec, installed())
    known = {s.kind for s in plan.stages} | {s.name for s in plan.stages} | {"all"}
    for name in request.recompute:
        if name not in known:
            raise UsageError(f"--recompute {name}: no such stage{did_you_mean(name, known)}")
    if request.recompute and request.cached_only:
        raise UsageError(
            "--recompute computes again and --cached-only computes nothing; leave one out"
        )
    return plan, ArtifactCache(request.cache_root, run_id=request.run_id)


def run_request(request: RunRequest, stop: Stop, console: Console) -> RunResult | None:
    """Compute what is missing and write the run's folder.

    Of several processes that torchrun started, only the first returns a result. Raises `GvrError`
    where the run cannot go on; a stage that fails is an outcome.
    """
    from gvr_bench.pipeline.runner import Runner
    from gvr_bench.registry.registry import installed

    began = time.time()
    check_workers(request)
    plan, cache = plan_request(request)
    options = options_of(request)
    if are_several():
        from gvr_bench.core.process_group import process_group

        options = replace(options, process_group=process_group())
        process_group().connect(options.device, stop)
    group = options.process_group
    workers = workers_for(request, plan, cache, options, stop)
    shares_cores = options.device.type == "cpu" and request.executor == "local"
    first = shares_cores and request.workers is None
    runner = Runner(plan, cache, installed(), options, stop, workers, trains_first=first)
    if group and group.rank:
        follow(group, runner)
        return None
    runner.prepare()
    folder = request.folder(plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the run's folder {folder}: {error.strerror}; choose another with "
            "--out DIR"
        ) from error
    runner.run(console, quiet=request.quiet)
    if request.experiment:
        request.experiment.write(folder)
    runner.write(folder, began, request.command)
    if group:
        group.announce("")
    return RunResult(folder, runner.state.outcomes, runner)


def work_request(request: RunRequest, stop: Stop, console: Console) -> bool:
    """Take part in a run until all its stages have ended; whether all succeeded."""
    from gvr_bench.pipeline.runner import Runner
    from gvr_bench.registry.registry import installed

    plan, cache = plan_request(request)
    runner = Runner(plan, cache, installed(), options_of(request), stop)
    runner.prepare()
    outcomes = runner.run(console)
    return all(outcome.status != "failed" for outcome in outcomes.values())


def options_of(request: RunRequest) -> RunOptions:
    """Return how a request is computed. Raises `UsageError`."""
    from gvr_bench.pipeline.options import RunOptions, choose_device

    return RunOptions(
        choose_device(request.device),
        request.batch_size,
        request.checkpoint_seconds,
        frozenset(request.recompute),
        request.cached_only,
    )


def check_workers(request: RunRequest) -> None:
    """Refuse options that do not go together. Raises `UsageError`."""
    if request.executor == "local" and request.ray_address is not None:
        raise UsageError("--ray-address is that of a Ray cluster; add --executor ray")
    for option, typed in (
        ("--executor ray", request.executor == "ray"),
        ("--workers", (request.workers or 1) > 1),
    ):
        if typed and are_several():
            raise UsageError(f"{option} starts its own processes; leave torchrun out")


def workers_for(
    request: RunRequest, plan: Plan, cache: ArtifactCache, options: RunOptions, stop: Stop
) -> Workers | None:
    """Return the workers of a run, None where this process alone computes."""
    from gvr_bench.pipeline.executors.request import make_request

    if request.executor == "ray":
        from gvr_bench.pipeline.executors.ray import RayWorkers

        count = request.workers or 0
        _, threads = workers_and_threads(count or 1)
        sent = make_request(plan, cache, options)
        return RayWorkers(sent, count, threads, request.ray_address, stop)
    from gvr_bench.pipeline.executors.processes import WorkerProcesses, visible_gpus

    gpus = len(visible_gpus()) if options.device.type == "cuda" else 0
    count, threads = workers_and_threads(request.workers or gpus)
    if count < 2 or request.cached_only or are_several():
        return None
    return WorkerProcesses(make_request(plan, cache, options), count, threads)


def follow(group: ProcessGroup, runner: Runner) -> None:
    """Take part in the trainings that the first process starts, until its run has ended."""
    from gvr_bench.pipeline.worker import is_data_parallel

    stages = [stage for stage in runner.plan.stages if is_data_parallel(stage)]
    group.follow({stage.key: partial(runner.worker.train_along, stage) for stage in stages})
