"""What each kind of stage computes, from the values of its inputs to files in its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.context import Context
from gvr_bench.core.errors import MemoryShortage, PluginError, TrainingError
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps.class_autoencoders import compute_judges
from gvr_bench.pipeline.steps.data import compute_cases, compute_data
from gvr_bench.pipeline.steps.decoding import compute_decoding
from gvr_bench.pipeline.steps.explanations import compute_explanations, explaining
from gvr_bench.pipeline.steps.heads import compute_head, compute_latents, compute_prediction
from gvr_bench.pipeline.steps.oracle import compute_oracle
from gvr_bench.pipeline.steps.perturbed_explanations import compute_probe, probing
from gvr_bench.pipeline.steps.scores import compute_scores, scoring
from gvr_bench.pipeline.steps.shards import Work, keep_part
from gvr_bench.pipeline.steps.student import compute_lessons, compute_student
from gvr_bench.pipeline.steps.train_networks import compute_encoder, compute_generator

COMPUTE: dict[StageKind, Callable[[StageContext], str | None]] = {
    "data": compute_data,
    "cases": compute_cases,
    "generator": compute_generator,
    "encoder": compute_encoder,
    "latents": compute_latents,
    "head": compute_head,
    "prediction": compute_prediction,
    "explanations": compute_explanations,
    "oracle": compute_oracle,
    "class_autoencoders": compute_judges,
    "decoding": compute_decoding,
    "perturbed_explanations": compute_probe,
    "student_training_set": compute_lessons,
    "student": compute_student,
    "scores": compute_scores,
}
PARTED: dict[StageKind, Callable[[StageContext], Work]] = {
    "explanations": explaining,
    "perturbed_explanations": probing,
    "scores": scoring,
}
TRAINED = {"generator", "encoder", "head", "oracle", "class_autoencoders", "student"}
FEWER = 4  # times fewer images at once, where memory ran out


@dataclasses.dataclass(frozen=True)
class Computed:
    """What the user should know of a stage, if anything, and seconds that were spent earlier."""

    note: str = ""
    earlier: float = 0.0


def compute(
    stage: Stage, cache: ArtifactCache, ctx: Context, rows: slice | None = None
) -> Computed:
    """Compute one stage and write its value; or only keep the part that `rows` of its cases are.

    Where memory runs out it is tried again with fewer images at once, which changes a result by no
    more than rounding. Raises what the plugins raise, and `MemoryShortage`.
    """
    if stage.problem:
        raise PluginError(stage.problem)
    whole = ctx.batch_size
    while True:
        stage_ctx = StageContext(stage, cache, ctx)
        try:
            if rows is not None:
                keep_part(stage_ctx, PARTED[stage.kind], rows)
                return Computed()
            note = COMPUTE[stage.kind](stage_ctx) or ""
            break
        except TrainingError as error:
            raise TrainingError(
                f"{error}; {kept(ctx)}; try other settings of {stage.name}"
            ) from error
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            if stage.kind in TRAINED or ctx.batch_size == 1:
                raise MemoryShortage(told(stage, ctx)) from error
        if ctx.device.type == "cuda":
            torch.cuda.empty_cache()
        ctx = dataclasses.replace(ctx, batch_size=max(1, ctx.batch_size // FEWER))
    if ctx.batch_size < whole:
        fewer = f"memory ran out with {whole} images at once; it took {ctx.batch_size}"
        note = "; ".join(filter(None, (note, fewer)))
    return Computed(note, stage_ctx.earlier)


def kept(ctx: Context) -> str:
    """Say what is left of a training."""
    found = ctx.checkpoints.load() if ctx.checkpoints else None
    return f"the last checkpoint, of step {found[0]}, is kept" if found else "nothing is kept"


def is_shortage(error: Exception) -> bool:
    """Whether memory ran out; on a processor torch says so in words alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def told(stage: Stage, ctx: Context) -> str:
    """Say in one line which memory did not suffice, and what helps."""
    where = "this machine" if ctx.device.type == "cpu" else str(ctx.device)
    other = "" if ctx.device.type == "cpu" else ", or --device cpu"
    if stage.kind in TRAINED:
        said = f"{where} has too little memory to train {stage}; {kept(ctx)}"
        return f"{said}; give it a smaller batch or width in its settings, smaller images{other}"
    said = f"{where} has too little memory for {stage}, even one image at a time"
    return f"{said}; take smaller images{other}"
