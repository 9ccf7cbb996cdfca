"""Walk the plan: reuse what is stored, compute the rest, write the run folder."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import gvr_bench
from gvr_bench.api import Context, seed_from
from gvr_bench.compute import compute
from gvr_bench.compute.misfits import refuse_misfits
from gvr_bench.errors import DataError, GvrError, StoreError, Unsupported, UsageError
from gvr_bench.formats import replacing, write_json
from gvr_bench.gallery import write_cases
from gvr_bench.plugins import Registry, one_line
from gvr_bench.progress import Display, StageDisplay
from gvr_bench.records import Record, write_records
from gvr_bench.results import Outcome, collect
from gvr_bench.spec import write_spec
from gvr_bench.stages import MAIN, Plan, Stage
from gvr_bench.stopping import Stop
from gvr_bench.storage.store import ERROR, WORK, DamageError, FileCheckpoints, Store
from gvr_bench.values import write_protocols, write_values

MENDED = 3  # times that one stage is computed again because it is damaged


@dataclass(frozen=True)
class How:
    """How a run is carried out; nothing in it changes a result beyond rounding.

    `fresh` names stage kinds or components to compute again, or `all`.
    """

    device: torch.device
    batch_size: int = 128
    checkpoint_seconds: float = 30.0
    fresh: frozenset[str] = frozenset()
    cached_only: bool = False


def choose_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`. Raises `UsageError` where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device here; leave --device out, or use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 units (AVX512-BF16, AMX, or a recent GPU)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in older releases
    capabilities: dict[str, object] = ask() if ask else {}
    return bool(capabilities.get("avx512_bf16"))


class Runner:
    """Runs one plan in one store; `stop` tells when the user asks to end early."""

    def __init__(
        self, plan: Plan, store: Store, registry: Registry, how: How, stop: Stop | None = None
    ) -> None:
        self.plan = plan
        self.store = store
        self.registry = registry
        self.how = how
        self.stop = stop or Stop()
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
        while True:
            try:
                self.walk(display)
                break
            except DamageError as found:
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

    def walk(self, display: Display) -> None:
        """Settle the stages that are not settled yet, or no longer are."""
        for stage in self.plan.stages:
            known = self.outcomes.get(stage.key)
            if known and (not known.whole or self.store.has(stage)):
                continue
            outcome = self.settle(stage, display)
            self.outcomes[stage.key] = outcome
            display.ended(str(stage), outcome.status, outcome.seconds, outcome.reason)
            for warning in self.registry.tell("gvr_stage_finished", self.told(stage)):
                display.warn(warning)
            self.stop.check()

    def settle(self, stage: Stage, display: Display) -> Outcome:
        """Reuse, compute or give up one stage."""
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
        return self.compute(stage, display)

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

    def compute(self, stage: Stage, display: Display) -> Outcome:
        """Compute one stage under its lock."""
        with (
            self.store.claim(stage, lambda: display.waits(str(stage))),
            display.stage(str(stage)) as progress,
        ):
            if self.store.has(stage):  # another process was faster
                return Outcome("cached", float(self.store.meta(stage)["seconds"]))
            ctx = self.context(stage, progress)
            started = time.perf_counter()
            try:
                note = compute(stage, self.store, ctx)
            except DamageError:
                raise
            except Exception as error:  # a plugin may raise anything
                return self.failed(stage, error)
            seconds = time.perf_counter() - started
            with self.stop.later():
                provenance = {"seconds": seconds, **versions(), "device": str(ctx.device)}
                self.store.commit(stage, provenance)
            self.store.used(stage)
            return Outcome("done", seconds, note)

    def context(self, stage: Stage, progress: StageDisplay) -> Context:
        """Say how a stage is computed."""
        checkpoints = FileCheckpoints(
            self.store.place(stage) / WORK,
            self.how.checkpoint_seconds,
            self.store.digests(stage.inputs),
            self.stop,
        )

        def show(done: int, total: int, detail: str) -> None:
            if not self.stop.waits:
                self.stop.check()
            progress(done, total, detail)

        return Context(
            self.how.device,
            seed=seed_from(stage.key),
            batch_size=self.how.batch_size,
            bfloat16=gains_from_bfloat16(self.how.device),
            progress=show,
            checkpoints=checkpoints,
        )

    def failed(self, stage: Stage, error: Exception) -> Outcome:
        """Keep the reason; pass on what only the user can mend."""
        self.store.fail(stage, error, traceback.format_exc())
        unsuitable = isinstance(error, DataError | UsageError) and stage.kind in MAIN
        if unsuitable or isinstance(error, StoreError):
            raise error
        if isinstance(error, Unsupported):
            return Outcome("n/a", 0.0, str(error), not_here=True)
        if isinstance(error, GvrError):
            return Outcome("failed", 0.0, str(error))
        where = self.store.place(stage) / ERROR
        return Outcome("failed", 0.0, f"{one_line(error)} (traceback in {where})")


def versions() -> dict[str, str]:
    """Versions that go into the provenance of every value."""
    return {
        "gvr_bench": gvr_bench.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def write_run(
    out: Path, plan: Plan, store: Store, outcomes: Mapping[str, Outcome], how: How, began: float
) -> list[Record]:
    """Write the run folder: spec, environment, cases, values and, last, the records returned."""
    with replacing(out / "spec.toml") as partial:
        partial.write_text(write_spec(plan.spec), encoding="utf-8")
    stages = [
        {"kind": s.kind, "name": s.name, "key": s.key, **asdict(outcomes[s.key])}
        for s in plan.stages
    ]
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
            "stages": stages,
        },
    )
    write_cases(out / "cases.h5", plan, store, outcomes)
    records = collect(plan, store, outcomes, str(how.device))
    write_values(out / "values.h5", plan, store, outcomes)
    write_protocols(out / "protocols.json", plan, records)
    write_records(out / "records.jsonl", records)
    return records
