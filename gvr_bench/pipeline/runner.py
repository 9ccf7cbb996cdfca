"""Walks the plan: reuses what is cached, computes the rest, writes the run folder."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.errors import CorruptStageError
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.executors.watch import Workers, watch
from gvr_bench.pipeline.expected_time import ExpectedTime
from gvr_bench.pipeline.options import RunOptions
from gvr_bench.pipeline.plan import Plan, explainer_titles
from gvr_bench.pipeline.preflight import refuse_misfits
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.run_state import RunState
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.worker import Worker
from gvr_bench.pipeline.write_run import write_run
from gvr_bench.registry.registry import Registry
from gvr_bench.results.records import Record

MIN_STAGES = 40  # that are worth the seconds in which workers start


class Runner:
    """Runs one plan in one cache; `stop` is set when the user ends it early.

    Without `workers` it computes in this process; with them it watches. With `trains_first` it
    trains itself what explanations wait for, with all cores, and takes workers for many stages.
    """

    def __init__(
        self,
        plan: Plan,
        cache: ArtifactCache,
        registry: Registry,
        options: RunOptions,
        stop: Stop | None = None,
        workers: Workers | None = None,
        *,
        trains_first: bool = False,
    ) -> None:
        self.plan = plan
        self.cache = cache
        self.registry = registry
        self.options = options
        self.stop = stop or Stop()
        self.workers = workers
        self.trains_first = trains_first
        self.display = Display(Console(quiet=True))
        self.state = RunState(
            plan, cache, self.warn, self.on_stage_end, cached_only=options.cached_only
        )
        self.records: list[Record] = []

    def prepare(self) -> None:
        """Refuse what cannot end well, before anything is computed.

        Builds each network that is to be trained, for an architecture may not make every size.
        Raises `CacheError`, `UsageError` or `DataError`.
        """
        if self.options.cached_only:
            return
        self.cache.prepare()
        for combination in self.plan.combinations:
            if not self.cache.has(combination.head_stage):
                refuse_misfits(combination)

    def run(self, console: Console, *, quiet: bool = False) -> dict[str, Outcome]:
        """Compute or reuse every stage, and return how each ended, by key.

        A `quiet` run shows failures and warnings, and no progress. If a stage fails, those that do
        not need it go on. Damaged stages are computed again, with what depends on them. Raises
        `GvrError` where the run cannot go on, as for unsuitable data or a full disk.
        """
        total = len(self.plan.stages)
        self.display = Display(console, total, explainer_titles(self.plan), quiet=quiet)
        again = self.plan.stages_to_recompute(self.options.recompute)
        before = self.expected_time() if again else None  # they are removed, with their times
        for stage in self.plan.stages:
            if stage.key in again:
                self.cache.invalidate(stage)
        self.state.update()
        first = trainings(self.plan, self.cache) if self.trains_first and self.missing else set()
        if self.missing:
            expected = before or self.expected_time()
            if self.workers and self.is_worth_workers(self.missing):
                expected.share(max(1, self.workers.count), first)
            self.display.say(expected.sentence(self.missing))
            self.display.time_left = lambda: expected.of(self.missing)
        if self.workers and self.trains_first:
            self.worker.work(first)
        if self.workers and self.is_worth_workers(self.missing):
            self.state.watching = True
            watch(self.workers, self.state, self.display)
        self.worker.work()
        outcomes = self.state.outcomes
        cached = sum(outcome.status == "cached" for outcome in outcomes.values())
        if cached:
            self.display.say(f"{cached} of {total} stages were in the cache")
        return outcomes

    @property
    def missing(self) -> set[str]:
        """The keys of the stages that have not ended."""
        return {stage.key for stage in self.plan.stages} - self.state.outcomes.keys()

    def expected_time(self) -> ExpectedTime:
        return ExpectedTime(self.plan, self.cache, self.options.device.type)

    def is_worth_workers(self, keys: Set[str]) -> bool:
        return len(keys) >= (MIN_STAGES if self.trains_first else 1)

    @property
    def worker(self) -> Worker:
        return Worker(self.state, self.options, self.stop, self.display)

    def write(self, out: Path, began: float, command: str = "") -> None:
        """Write the run folder, computing damaged stages again."""
        while True:
            try:
                self.records = write_run(
                    out, self.plan, self.cache, self.state.outcomes, self.options, began, command
                )
                return
            except CorruptStageError as error:
                self.state.recompute_corrupt(error)
                self.worker.work()

    def notify_plugins(self, out: Path) -> None:
        details = {
            "folder": out,
            "records": [asdict(record) for record in self.records],
            "stages": [self.describe_stage(stage) for stage in self.plan.stages],
        }
        for warning in self.registry.notify("gvr_run_finished", details):
            self.warn(warning)

    def describe_stage(self, stage: Stage) -> dict[str, Any]:
        outcome = self.state.outcomes[stage.key]
        return {
            "kind": stage.kind,
            "name": stage.name,
            "key": stage.key,
            "seconds": outcome.seconds,
            "status": outcome.status,
            "folder": self.cache.folder(stage) if outcome.succeeded else None,
        }

    def on_stage_end(self, stage: Stage, outcome: Outcome) -> None:
        self.display.ended(stage, outcome)
        for warning in self.registry.notify("gvr_stage_finished", self.describe_stage(stage)):
            self.warn(warning)
        self.stop.check()

    def warn(self, line: str) -> None:
        self.display.warn(line)


def trainings(plan: Plan, cache: ArtifactCache) -> set[str]:
    """Return the keys of trainings that explanations wait for, and of what they need.

    Networks that are in the cache, or come with the package, are no trainings any more.

    Other networks, such as the oracle, are left to the workers: each of them trains one while the
    others explain, and two trainings with one thread each end before one after the other with two.
    """
    trained = {
        part.key: part
        for stage in plan.stages
        if stage.kind == "explanations"
        for part in stage.lineage()
        if STEPS[part.kind].trains
    }
    missing = [stage for stage in trained.values() if not cache.has(stage)]
    return {needed.key for stage in missing for needed in stage.lineage()}
