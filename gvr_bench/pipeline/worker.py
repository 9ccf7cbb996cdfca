"""Computing one stage in this process, whoever asked for it."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import ERROR, WORK
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import (
    CacheError,
    CorruptStageError,
    DataError,
    GvrError,
    ProcessError,
    Unsupported,
    UsageError,
    one_line,
)
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import MAIN, Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.options import RunOptions, gains_from_bfloat16, versions
from gvr_bench.pipeline.progress import Display, StageDisplay
from gvr_bench.pipeline.steps import Computed, compute
from gvr_bench.pipeline.steps.cost import growth, reset_peak
from gvr_bench.pipeline.steps.train_networks import is_shared


@dataclass(frozen=True)
class Worker:
    """Computes stages, one after the other, into a cache; `stop` tells when to end early."""

    cache: ArtifactCache
    options: RunOptions
    stop: Stop

    def compute(self, stage: Stage, display: Display) -> Outcome:
        """Compute one stage under its lock. Raises `CorruptStageError`, and what `failed` passes on."""
        with (
            self.cache.lock(stage, lambda: display.waits(str(stage))),
            display.stage(str(stage)) as progress,
        ):
            if self.cache.has(stage):  # another process was faster
                return Outcome("cached", float(self.cache.meta(stage)["seconds"]))
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
                self.cache.commit(stage, provenance)
            self.cache.touch(stage)
            return Outcome("done", seconds, made.note)

    def keep(self, stage: Stage, rows: slice, display: Display) -> Outcome:
        """Compute and keep a part of a stage, for whoever computes it. Raises as `compute` does."""
        if self.cache.has(stage):
            return Outcome("cached", 0.0)
        with self.cache.writing():
            (self.cache.write_dir(stage) / WORK).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with display.stage(str(stage)) as progress:
            made = self.attempt(stage, self.context(stage, progress), rows)
        if isinstance(made, Outcome):
            return made
        return Outcome("done", time.perf_counter() - started)

    def attempt(self, stage: Stage, ctx: Context, rows: slice | None = None) -> Computed | Outcome:
        """Compute a stage or a part of it; return how it failed where it did."""
        try:
            return compute(stage, self.cache, ctx, rows)
        except (CorruptStageError, ProcessError):
            raise
        except Exception as error:  # a plugin may raise anything
            return self.failed(stage, error)

    def context(self, stage: Stage, progress: StageDisplay) -> Context:
        """Say how a stage is computed."""
        checkpoints = FileCheckpoints(
            self.cache.write_dir(stage) / WORK,
            self.options.checkpoint_seconds,
            self.cache.digests(stage.inputs),
            self.stop,
        )

        def show(done: int, total: int, detail: str) -> None:
            if not self.stop.delayed:
                self.stop.check()
            progress(done, total, detail)

        return Context(
            self.options.device,
            seed=seed_from(stage.key),
            batch_size=self.options.batch_size,
            bfloat16=gains_from_bfloat16(self.options.device),
            progress=show,
            checkpoints=checkpoints,
            processes=self.options.process_group if is_shared(stage) else None,
        )

    def failed(self, stage: Stage, error: Exception) -> Outcome:
        """Keep the reason; pass on what only the user can mend."""
        self.cache.fail(stage, error, traceback.format_exc())
        unsuitable = isinstance(error, DataError | UsageError) and stage.kind in MAIN
        if unsuitable or isinstance(error, CacheError | ProcessError):
            raise error
        if isinstance(error, Unsupported):
            return Outcome("n/a", 0.0, str(error), not_applicable=True)
        if isinstance(error, GvrError):
            return Outcome("failed", 0.0, str(error))
        where = self.cache.write_dir(stage) / ERROR
        return Outcome("failed", 0.0, f"{one_line(error)} (traceback in {where})")
