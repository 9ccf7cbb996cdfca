"""How a stage is computed where memory may be short: again, with smaller batches."""

from __future__ import annotations

from dataclasses import replace

import torch

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.context import Context
from gvr_bench.core.errors import MemoryShortage, PluginError, TrainingError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import STEPS

BATCH_FACTOR = 4  # by which the batch size falls where memory runs out


def compute(stage: Stage, cache: ArtifactCache, ctx: Context) -> tuple[str, float]:
    """Compute a stage and write its files; return a note and the seconds that stored parts took.

    Where memory runs out it is tried again with a smaller batch, which changes a result by rounding
    only. Raises what plugins raise, and `MemoryShortage`.
    """
    if stage.problem:
        raise PluginError(stage.problem)
    step, batch_size = STEPS[stage.kind], ctx.batch_size
    while True:
        stage_ctx = StageContext(stage, cache, ctx)
        try:
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
    return note, stage_ctx.earlier


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. Torch has an exception of its own for GPUs only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(error)  # a bare RuntimeError that names the allocator


def checkpoint_left(ctx: Context) -> str:
    checkpoint = ctx.checkpoints.load() if ctx.checkpoints else None
    return f"{f'a checkpoint of step {checkpoint[0]}' if checkpoint else 'no checkpoint'} is left"


def shortage(stage: Stage, ctx: Context) -> str:
    """Say which memory is too small, and what helps."""
    cpu = ctx.device.type == "cpu"
    where, other = ("this machine", "") if cpu else (str(ctx.device), ", or --device cpu")
    if STEPS[stage.kind].trains:
        return (
            f"{where} has too little memory to train {stage}; {checkpoint_left(ctx)}; give it a "
            f"smaller batch or width in its settings, smaller images{other}"
        )
    return (
        f"{where} has too little memory for {stage}, even one image at a time; use smaller "
        f"images{other}"
    )
