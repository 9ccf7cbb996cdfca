"""Computing one stage in this process, whoever asked for it."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass

from gvr_bench.cache.artifacts import ERROR, WORK, DamageError, FileCheckpoints, Store
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import (
    DataError,
    GvrError,
    ProcessError,
    StoreError,
    Unsupported,
    UsageError,
    one_line,
)
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import MAIN, Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.options import How, gains_from_bfloat16, versions
from gvr_bench.pipeline.progress import Display, StageDisplay
from gvr_bench.pipeline.steps import Computed, compute
from gvr_bench.pipeline.steps.cost import growth, reset_peak
from gvr_bench.pipeline.steps.train_networks import is_shared


@dataclass(frozen=True)
class Worker:
    """Computes stages, one after the other, into a store; `stop` tells when to end early."""

    store: Store
    how: How
    stop: Stop

    def compute(self, stage: Stage, display: Display) -> Outcome:
        """Compute one stage under its lock. Raises `DamageError`, and what `failed` passes on."""
        with (
            self.store.claim(stage, lambda: display.waits(str(stage))),
            display.stage(str(stage)) as progress,
        ):
            if self.store.has(stage):  # another process was faster
                return Outcome("cached", float(self.store.meta(stage)["seconds"]))
            ctx = self.context(stage, progress)
            before = reset_peak(ctx.device)
            started = time.perf_counter()
            made = self.attempt(stage, ctx)
            if isinstance(made, Outcome):
                return made
            seconds = made.earlier + time.perf_counter() - started
            with self.stop.later():
                spent = {"seconds": seconds, "memory": growth(before, ctx.device)}
                provenance = {**spent, **versions(), "device": str(ctx.device)}
                self.store.commit(stage, provenance)
            self.store.used(stage)
            return Outcome("done", seconds, made.note)

    def keep(self, stage: Stage, rows: slice, display: Display) -> Outcome:
        """Compute and keep a part of a stage, for whoever computes it. Raises as `compute` does."""
        if self.store.has(stage):
            return Outcome("cached", 0.0)
        with self.store.writing():
            (self.store.place(stage) / WORK).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with display.stage(str(stage)) as progress:
            made = self.attempt(stage, self.context(stage, progress), rows)
        if isinstance(made, Outcome):
            return made
        return Outcome("done", time.perf_counter() - started)

    def attempt(self, stage: Stage, ctx: Context, rows: slice | None = None) -> Computed | Outcome:
        """Compute a stage or a part of it; return how it failed where it did."""
        try:
            return compute(stage, self.store, ctx, rows)
        except (DamageError, ProcessError):
            raise
        except Exception as error:  # a plugin may raise anything
            return self.failed(stage, error)

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
            processes=self.how.crew if is_shared(stage) else None,
        )

    def failed(self, stage: Stage, error: Exception) -> Outcome:
        """Keep the reason; pass on what only the user can mend."""
        self.store.fail(stage, error, traceback.format_exc())
        unsuitable = isinstance(error, DataError | UsageError) and stage.kind in MAIN
        if unsuitable or isinstance(error, StoreError | ProcessError):
            raise error
        if isinstance(error, Unsupported):
            return Outcome("n/a", 0.0, str(error), not_here=True)
        if isinstance(error, GvrError):
            return Outcome("failed", 0.0, str(error))
        where = self.store.place(stage) / ERROR
        return Outcome("failed", 0.0, f"{one_line(error)} (traceback in {where})")
