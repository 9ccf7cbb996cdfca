"""Walks the plan: reuses what is cached, computes the rest, writes the run folder."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import write_spec
from gvr_bench.core.errors import CacheError, CorruptStageError
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.cases_file import write_cases
from gvr_bench.pipeline.collect import Outcome, collect
from gvr_bench.pipeline.data_file import write_data
from gvr_bench.pipeline.executors.local import Executor, LocalExecutor
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.preflight import refuse_misfits
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.worker import Worker
from gvr_bench.registry.registry import Registry
from gvr_bench.results.files import CASES, DATA
from gvr_bench.results.records import Record
from gvr_bench.results.run_folder import write_run_folder

MAX_RECOMPUTED = 3  # times that one stage is computed again because it is damaged


class Runner:
    """Runs one plan in one cache; `stop` is set when the user ends it early.

    It decides which stage is ready and what follows from its outcome; `executor` computes it, by
    default in this process.
    """

    def __init__(
        self,
        plan: Plan,
        cache: ArtifactCache,
        registry: Registry,
        options: RunOptions,
        stop: Stop | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.plan = plan
        self.cache = cache
        self.registry = registry
        self.options = options
        self.stop = stop or Stop()
        self.worker = Worker(cache, options, self.stop)
        self.executor = executor or LocalExecutor(self.worker)
        self.outcomes: dict[str, Outcome] = {}
        self.to_recompute = plan.stages_to_recompute(options.recompute)
        self.refreshed: set[str] = set()
        self.recomputed: Counter[str] = Counter()
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

    def run(self, console: Console) -> dict[str, Outcome]:
        """Compute or reuse every stage, and return how each ended, by key.

        If a stage fails, those that do not need it go on. Damaged stages are computed again, with
        what depends on them. Raises `DataError` or `UsageError` for unsuitable data and settings,
        `CacheError` for a full disk.
        """
        display = Display(console, len(self.plan.stages))
        with self.executor:
            while damaged := self.run_ready(display):
                for error in damaged:
                    self.recompute_corrupt(error, display)
        cached = sum(outcome.status == "cached" for outcome in self.outcomes.values())
        if cached:
            console.print(f"{cached} of {len(self.plan.stages)} stages were in the cache")
        return self.outcomes

    def write(self, out: Path, began: float, console: Console) -> None:
        """Write the run folder, computing damaged stages again."""
        while True:
            try:
                self.records = write_run(
                    out, self.plan, self.cache, self.outcomes, self.options, began
                )
                return
            except CorruptStageError as error:
                self.recompute_corrupt(error, Display(console, len(self.plan.stages)))
                self.run(console)

    def notify_plugins(self, out: Path, console: Console) -> None:
        """Tell plugins that the run has ended and its folder is complete."""
        details = {
            "folder": out,
            "records": [asdict(record) for record in self.records],
            "stages": [self.describe_stage(stage) for stage in self.plan.stages],
        }
        for warning in self.registry.notify("gvr_run_finished", details):
            Display(console, len(self.plan.stages)).warn(warning)

    def describe_stage(self, stage: Stage) -> dict[str, Any]:
        """Return what plugins get to know of a stage that ended."""
        outcome = self.outcomes[stage.key]
        return {
            "kind": stage.kind,
            "name": stage.name,
            "key": stage.key,
            "seconds": outcome.seconds,
            "status": outcome.status,
            "folder": self.cache.folder(stage) if outcome.succeeded else None,
        }

    def run_ready(self, display: Display) -> list[CorruptStageError]:
        """Run the stages that have no outcome yet, or no value any more; return the damaged ones.

        After damage nothing is started, so that what is damaged can be removed.
        """
        todo = list(self.plan.stages)
        damaged: dict[str, CorruptStageError] = {}
        while True:
            if not damaged:
                todo = self.start_ready(todo, display)
            if not self.executor.running:
                return list(damaged.values())
            try:
                stage, outcome = self.executor.next(display)
            except CorruptStageError as error:
                damaged.setdefault(error.stage.key, error)
            else:
                self.on_stage_end(stage, outcome, display)

    def start_ready(self, todo: Sequence[Stage], display: Display) -> list[Stage]:
        """Reuse or start the stages whose inputs are ready; return those that must wait."""
        waiting: dict[str, Stage] = {}
        for stage in todo:
            unsettled = {*waiting, *self.executor.running}
            if not self.executor.free or any(i.key in unsettled for i in stage.inputs.values()):
                waiting[stage.key] = stage
                continue
            known = self.outcomes.get(stage.key)
            if known and (not known.succeeded or self.cache.has(stage)):
                continue
            outcome = self.resolve_cached(stage, display)
            if outcome:
                self.on_stage_end(stage, outcome, display)
            else:
                self.executor.start(stage)
        return list(waiting.values())

    def on_stage_end(self, stage: Stage, outcome: Outcome, display: Display) -> None:
        """Record an outcome, show it, and notify plugins."""
        self.outcomes[stage.key] = outcome
        display.ended(str(stage), outcome.status, outcome.seconds, outcome.reason)
        for warning in self.registry.notify("gvr_stage_finished", self.describe_stage(stage)):
            display.warn(warning)
        self.stop.check()

    def resolve_cached(self, stage: Stage, display: Display) -> Outcome | None:
        """Return the outcome of a stage that need not or cannot be computed; None otherwise."""
        for needed in stage.inputs.values():
            cause = self.outcomes[needed.key]
            if not cause.succeeded:
                return Outcome(
                    "skipped", 0.0, cause.reason or f"needs {needed}", cause.not_applicable
                )
        if stage.key in self.to_recompute - self.refreshed:
            self.cache.invalidate(stage)
            self.refreshed.add(stage.key)
        if self.cache.has(stage):
            self.cache.touch(stage)
            return Outcome("cached", float(self.cache.meta(stage)["seconds"]))
        _, fault = self.cache.inspect(stage)
        if self.options.cached_only:
            why = fault or "not in the cache"
            return Outcome("failed", 0.0, f"{stage} is {why} (--cached-only)")
        if fault:
            display.warn(f"{stage} is {fault}; it is computed again")
        return None

    def recompute_corrupt(self, error: CorruptStageError, display: Display) -> None:
        """Remove a damaged stage, so that it is computed again.

        Raises `CacheError` if it is damaged again and again: the disk cannot be trusted.
        """
        stage = error.stage
        if self.options.cached_only:
            raise CacheError(f"{stage} is {error}; leave out --cached-only to compute it again")
        self.recomputed[stage.key] += 1
        if self.recomputed[stage.key] > MAX_RECOMPUTED:
            raise CacheError(
                f"{stage} is {error}, though computed again {MAX_RECOMPUTED} times; check the disk"
            )
        display.warn(f"{stage} is {error}; it is computed again")
        self.cache.delete_if_corrupt(stage)


def write_run(
    out: Path,
    plan: Plan,
    cache: ArtifactCache,
    outcomes: Mapping[str, Outcome],
    options: RunOptions,
    began: float,
) -> list[Record]:
    """Write the run folder, and return its records."""
    results = collect(plan, cache, outcomes, str(options.device))
    stages = [
        {"kind": s.kind, "name": s.name, "part": s.part, "key": s.key, **asdict(outcomes[s.key])}
        for s in plan.stages
    ]
    environment = {
        **versions(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "device": str(options.device),
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "command": shlex.join(["gvr-bench", *sys.argv[1:]]),
        "records": len(results.records),
        "stages": stages,
    }
    write_cases(out / CASES, plan, cache, outcomes)
    write_data(out / DATA, plan, cache, outcomes)
    spec, records = write_spec(plan.spec), results.records
    write_run_folder(out, spec, environment, results.values, results.protocols, records)
    return records
