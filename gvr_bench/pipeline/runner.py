"""Walk the plan: reuse what is stored, compute the rest, write the run folder."""

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

from gvr_bench.cache.artifacts import DamageError, Store
from gvr_bench.cache.serialization import replacing, write_json
from gvr_bench.config.spec import write_spec
from gvr_bench.core.errors import StoreError
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.case_scores import write_protocols, write_values
from gvr_bench.pipeline.cases_file import write_cases
from gvr_bench.pipeline.collect import Outcome, collect
from gvr_bench.pipeline.executors.local import Executor, LocalExecutor
from gvr_bench.pipeline.options import How, choose_device, gains_from_bfloat16, versions
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.preflight import refuse_misfits
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.worker import Worker
from gvr_bench.registry.registry import Registry
from gvr_bench.results.records import Record, write_records

__all__ = ["How", "Runner", "choose_device", "gains_from_bfloat16", "write_run"]

MENDED = 3  # times that one stage is computed again because it is damaged


class Runner:
    """Runs one plan in one store; `stop` tells when the user asks to end early.

    It knows which stage is ready and what follows from how it ended; `executor` computes it, by
    default in this process.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        registry: Registry,
        how: How,
        stop: Stop | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.registry = registry
        self.how = how
        self.stop = stop or Stop()
        self.worker = Worker(store, how, self.stop)
        self.executor = executor or LocalExecutor(self.worker)
        self.outcomes: dict[str, Outcome] = {}
        self.refreshed: set[str] = set()
        self.mended: Counter[str] = Counter()
        self.records: list[Record] = []

    def prepare(self) -> None:
        """Refuse what cannot end well, before anything is computed.

        Builds each network that is to be trained, for an architecture may not make every size.
        Raises `StoreError`, `UsageError` or `DataError`.
        """
        if self.how.cached_only:
            return
        self.store.prepare()
        for combination in self.plan.combinations:
            if not self.store.has(combination.head_stage):
                refuse_misfits(combination)

    def run(self, console: Console) -> dict[str, Outcome]:
        """Bring every stage to an end and return how each ended, by key.

        One stage failing leaves those running that do not need it. What is damaged in the store is
        computed again, with what follows from it. Raises `DataError` or `UsageError` for data and
        settings that are unsuitable, `StoreError` for a full disk.
        """
        display = Display(console, len(self.plan.stages))
        with self.executor:
            while damaged := self.walk(display):
                for found in damaged:
                    self.mend(found, display)
        cached = sum(outcome.status == "cached" for outcome in self.outcomes.values())
        if cached:
            console.print(f"{cached} of {len(self.plan.stages)} stages were in the store")
        return self.outcomes

    def write(self, out: Path, began: float, console: Console) -> None:
        """Write the run folder; what turns out to be damaged is computed again."""
        while True:
            try:
                self.records = write_run(out, self.plan, self.store, self.outcomes, self.how, began)
                return
            except DamageError as found:
                self.mend(found, Display(console, len(self.plan.stages)))
                self.run(console)

    def tell(self, out: Path, console: Console) -> None:
        """Tell plugins that the run has ended and its folder is whole."""
        told = {
            "folder": out,
            "records": [asdict(record) for record in self.records],
            "stages": [self.told(stage) for stage in self.plan.stages],
        }
        for warning in self.registry.tell("gvr_run_finished", told):
            Display(console, len(self.plan.stages)).warn(warning)

    def told(self, stage: Stage) -> dict[str, Any]:
        """Return what plugins are told of a stage that ended."""
        outcome = self.outcomes[stage.key]
        return {
            "kind": stage.kind,
            "name": stage.name,
            "key": stage.key,
            "seconds": outcome.seconds,
            "status": outcome.status,
            "folder": self.store.folder(stage) if outcome.whole else None,
        }

    def walk(self, display: Display) -> list[DamageError]:
        """Settle the stages that are not settled yet, or no longer are; return what is damaged.

        After damage nothing is started, so that what is damaged can be removed.
        """
        todo = list(self.plan.stages)
        damaged: dict[str, DamageError] = {}
        while True:
            if not damaged:
                todo = self.start(todo, display)
            if not self.executor.running:
                return list(damaged.values())
            try:
                stage, outcome = self.executor.next(display)
            except DamageError as found:
                damaged.setdefault(found.stage.key, found)
            else:
                self.ended(stage, outcome, display)

    def start(self, todo: Sequence[Stage], display: Display) -> list[Stage]:
        """Settle or start the stages whose inputs are settled; return those that must wait."""
        waiting: dict[str, Stage] = {}
        for stage in todo:
            unsettled = {*waiting, *self.executor.running}
            if not self.executor.free or any(i.key in unsettled for i in stage.inputs):
                waiting[stage.key] = stage
                continue
            known = self.outcomes.get(stage.key)
            if known and (not known.whole or self.store.has(stage)):
                continue
            outcome = self.settle(stage, display)
            if outcome:
                self.ended(stage, outcome, display)
            else:
                self.executor.start(stage)
        return list(waiting.values())

    def ended(self, stage: Stage, outcome: Outcome, display: Display) -> None:
        """Take note of how a stage ended, and tell."""
        self.outcomes[stage.key] = outcome
        display.ended(str(stage), outcome.status, outcome.seconds, outcome.reason)
        for warning in self.registry.tell("gvr_stage_finished", self.told(stage)):
            display.warn(warning)
        self.stop.check()

    def settle(self, stage: Stage, display: Display) -> Outcome | None:
        """Reuse or give up one stage; None for one that is to be computed."""
        for needed in stage.inputs:
            cause = self.outcomes[needed.key]
            if not cause.whole:
                return Outcome("skipped", 0.0, cause.reason or f"needs {needed}", cause.not_here)
        if self.is_fresh(stage):
            self.store.restart(stage)
            self.refreshed.add(stage.key)
        if self.store.has(stage):
            self.store.used(stage)
            return Outcome("cached", float(self.store.meta(stage)["seconds"]))
        _, fault = self.store.inspect(stage)
        if self.how.cached_only:
            why = fault or "not in the store"
            return Outcome("failed", 0.0, f"{stage} is {why} (--cached-only)")
        if fault:
            display.warn(f"{stage} is {fault}; it is computed again")
        return None

    def is_fresh(self, stage: Stage) -> bool:
        """Whether the user asked to compute this stage, or one it needs, again."""
        asked = {stage.kind, stage.name, "all"} & self.how.fresh
        again = bool(asked) or any(needed.key in self.refreshed for needed in stage.inputs)
        return again and stage.key not in self.refreshed

    def mend(self, found: DamageError, display: Display) -> None:
        """Remove what is damaged, so that it is computed again. Raises `StoreError`.

        What is damaged again and again lies on a disk that cannot be trusted.
        """
        stage = found.stage
        if self.how.cached_only:
            raise StoreError(f"{stage} is {found}; leave out --cached-only to compute it again")
        self.mended[stage.key] += 1
        if self.mended[stage.key] > MENDED:
            raise StoreError(
                f"{stage} is {found}, though computed again {MENDED} times; check the disk"
            )
        display.warn(f"{stage} is {found}; it is computed again")
        self.store.discard(stage)


def write_run(
    out: Path, plan: Plan, store: Store, outcomes: Mapping[str, Outcome], how: How, began: float
) -> list[Record]:
    """Write the run folder: spec, environment, cases, values and, last, the records returned."""
    with replacing(out / "spec.toml") as partial:
        partial.write_text(write_spec(plan.spec), encoding="utf-8")
    stages = [
        {"kind": s.kind, "name": s.name, "title": f"{s}", "key": s.key, **asdict(outcomes[s.key])}
        for s in plan.stages
    ]
    records = collect(plan, store, outcomes, str(how.device))
    write_json(
        out / "environment.json",
        {
            **versions(),
            "platform": platform.platform(),
            "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
            "device": str(how.device),
            "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - began, 1),
            "command": shlex.join(["gvr-bench", *sys.argv[1:]]),
            "records": len(records),
            "stages": stages,
        },
    )
    write_cases(out / "cases.h5", plan, store, outcomes)
    write_values(out / "values.h5", plan, store, outcomes)
    write_protocols(out / "protocols.json", plan, records)
    write_records(out / "records.jsonl", records)
    return records
