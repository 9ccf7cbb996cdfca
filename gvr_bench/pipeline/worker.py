"""Computes one stage in this process."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace

import torch

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import ERROR, WORK
from gvr_bench.core.components import Encoder, Generator
from gvr_bench.core.context import Context, Progress, seed_from
from gvr_bench.core.errors import (
    CacheError,
    CorruptStageError,
    DataError,
    GvrError,
    MemoryShortage,
    PluginError,
    ProcessError,
    TrainingError,
    Unsupported,
    UsageError,
    one_line,
)
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.options import RunOptions, gains_from_bfloat16, versions
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps.cost import growth, reset_peak
from gvr_bench.pipeline.steps.shards import compute_part_of

BATCH_FACTOR = 4  # by which the batch size falls where memory runs out


@dataclass(frozen=True)
class Computed:
    """A note for the user, if any, and the seconds that parts took before this process."""

    note: str = ""
    earlier: float = 0.0


@dataclass(frozen=True)
class Worker:
    """Computes stages, one after the other, into a cache; `stop` is set to end early."""

    cache: ArtifactCache
    options: RunOptions
    stop: Stop

    def compute(self, stage: Stage, display: Display) -> Outcome:
        """Compute one stage under its lock. Raises `CorruptStageError`, and as `failed` does."""
        with (
            self.cache.lock(stage, lambda: display.waits(str(stage))),
            display.stage(str(stage)) as progress,
        ):
            if self.cache.has(stage):  # another process was faster
                return Outcome("cached", float(self.cache.meta(stage)["seconds"]))
            ctx = self.context(stage, progress)
            before = reset_peak(ctx.device)
            started = time.perf_counter()
            result = self.attempt(stage, ctx)
            if isinstance(result, Outcome):
                return result
            seconds = result.earlier + time.perf_counter() - started
            with self.stop.later():
                cost = {"seconds": seconds, "memory": growth(before, ctx.device)}
                self.cache.commit(stage, {**cost, **versions(), "device": str(ctx.device)})
            self.cache.touch(stage)
            return Outcome("done", seconds, result.note)

    def compute_part(self, stage: Stage, rows: slice, display: Display) -> Outcome:
        """Compute a part of a stage and store it for the whole. Raises as `compute` does."""
        if self.cache.has(stage):
            return Outcome("cached", 0.0)
        with self.cache.writing():
            (self.cache.write_dir(stage) / WORK).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with display.stage(str(stage)) as progress:
            result = self.attempt(stage, self.context(stage, progress), rows)
        if isinstance(result, Outcome):
            return result
        return Outcome("done", time.perf_counter() - started)

    def attempt(self, stage: Stage, ctx: Context, rows: slice | None = None) -> Computed | Outcome:
        """Compute a stage or a part of it; return how it failed where it did."""
        try:
            return compute(stage, self.cache, ctx, rows)
        except (CorruptStageError, ProcessError):
            raise
        except Exception as error:  # a plugin may raise anything
            return self.failed(stage, error)

    def train_along(self, stage: Stage, display: Display) -> None:
        """Train together with the first process, which writes the result."""
        train = STEPS[stage.kind].data_parallel
        assert train is not None
        with display.stage(str(stage)) as progress:
            try:
                train(StageContext(stage, self.cache, self.context(stage, progress)))
            except ProcessError:
                raise
            except Exception as error:  # a plugin may raise anything
                self.failed(stage, error)

    def context(self, stage: Stage, progress: Progress) -> Context:
        """Return the context that a stage is computed in."""
        checkpoints = FileCheckpoints(
            self.cache.write_dir(stage) / WORK,
            self.options.checkpoint_seconds,
            self.cache.digests(stage.inputs.values()),
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
            process_group=self.options.process_group if is_data_parallel(stage) else None,
        )

    def failed(self, stage: Stage, error: Exception) -> Outcome:
        """Store the reason. Raises what ends the run, for only the user can fix it."""
        self.cache.fail(stage, error, traceback.format_exc())
        unsuitable = isinstance(error, DataError | UsageError) and STEPS[stage.kind].essential
        if unsuitable or isinstance(error, CacheError | ProcessError):
            raise error
        if isinstance(error, Unsupported):
            return Outcome("n/a", 0.0, str(error), not_applicable=True)
        reason = str(error)
        if not isinstance(error, GvrError):
            reason = f"{one_line(error)} (traceback in {self.cache.write_dir(stage) / ERROR})"
        if self.options.process_group and is_data_parallel(stage):  # the other processes wait
            raise ProcessError(f"{stage} failed: {reason}") from error
        return Outcome("failed", 0.0, reason)


def is_data_parallel(stage: Stage) -> bool:
    """Whether the processes of a run train this stage together."""
    component = stage.component
    return (
        STEPS[stage.kind].data_parallel is not None
        and isinstance(component, Generator | Encoder)
        and component.data_parallel
    )


def compute(
    stage: Stage, cache: ArtifactCache, ctx: Context, rows: slice | None = None
) -> Computed:
    """Compute a stage and write its files, or store the part of it that `rows` of its cases are.

    Where memory runs out it is tried again with a smaller batch, which changes a result by rounding
    only. Raises what plugins raise, and `MemoryShortage`.
    """
    if stage.problem:
        raise PluginError(stage.problem)
    step, batch_size = STEPS[stage.kind], ctx.batch_size
    while True:
        stage_ctx = StageContext(stage, cache, ctx)
        try:
            if rows is not None:
                assert step.sharded is not None
                compute_part_of(stage_ctx, step.sharded, rows)
                return Computed()
            note = step.run(stage_ctx) or ""
            break
        except TrainingError as error:
            raise TrainingError(
                f"{error}; {checkpoint_left(ctx)}; try other settings of {stage.name}"
            ) from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if step.trains or ctx.batch_size == 1:
                raise MemoryShortage(shortage(stage, ctx)) from error
        if ctx.device.type == "cuda":
            torch.cuda.empty_cache()
        ctx = replace(ctx, batch_size=max(1, ctx.batch_size // BATCH_FACTOR))
    if ctx.batch_size < batch_size:
        smaller = f"out of memory with batches of {batch_size}; computed with {ctx.batch_size}"
        note = "; ".join(filter(None, (note, smaller)))
    return Computed(note, stage_ctx.earlier)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. Torch has an exception of its own for GPUs only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(error)  # a bare RuntimeError that names the allocator


def checkpoint_left(ctx: Context) -> str:
    """Say what is left of a training."""
    checkpoint = ctx.checkpoints.load() if ctx.checkpoints else None
    return (
        f"a checkpoint of step {checkpoint[0]} is left" if checkpoint else "no checkpoint is left"
    )


def shortage(stage: Stage, ctx: Context) -> str:
    """Say which memory is too small, and what helps."""
    where = "this machine" if ctx.device.type == "cpu" else str(ctx.device)
    other = "" if ctx.device.type == "cpu" else ", or --device cpu"
    if STEPS[stage.kind].trains:
        return (
            f"{where} has too little memory to train {stage}; {checkpoint_left(ctx)}; give it a "
            f"smaller batch or width in its settings, smaller images{other}"
        )
    return (
        f"{where} has too little memory for {stage}, even one image at a time; use smaller "
        f"images{other}"
    )
