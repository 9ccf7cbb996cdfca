"""What each kind of stage computes, from the values of its inputs to files in its folder."""

from __future__ import annotations

from collections.abc import Callable

import gvr_bench.api as gvr
from gvr_bench.compute.bench import Bench
from gvr_bench.compute.data import compute_cases, compute_data
from gvr_bench.compute.decoding import compute_decoding
from gvr_bench.compute.explanations import compute_explanations
from gvr_bench.compute.heads import compute_head, compute_latents, compute_prediction
from gvr_bench.compute.judges import compute_judges
from gvr_bench.compute.networks import compute_encoder, compute_generator
from gvr_bench.compute.oracle import compute_oracle
from gvr_bench.compute.probes import compute_probe
from gvr_bench.compute.scores import compute_scores
from gvr_bench.compute.student import compute_lessons, compute_student
from gvr_bench.errors import PluginError, TrainingError
from gvr_bench.stages import Stage, StageKind
from gvr_bench.storage.store import Store

COMPUTE: dict[StageKind, Callable[[Bench], str | None]] = {
    "data": compute_data,
    "cases": compute_cases,
    "generator": compute_generator,
    "encoder": compute_encoder,
    "latents": compute_latents,
    "head": compute_head,
    "prediction": compute_prediction,
    "explanations": compute_explanations,
    "oracle": compute_oracle,
    "judges": compute_judges,
    "decoding": compute_decoding,
    "probe": compute_probe,
    "lessons": compute_lessons,
    "student": compute_student,
    "scores": compute_scores,
}


def compute(stage: Stage, store: Store, ctx: gvr.Context) -> str:
    """Compute one stage and write its value; return what the user should know of it, if anything.

    Raises what the plugins raise.
    """
    if stage.problem:
        raise PluginError(stage.problem)
    try:
        return COMPUTE[stage.kind](Bench(stage, store, ctx)) or ""
    except TrainingError as error:
        found = ctx.checkpoints.load() if ctx.checkpoints else None
        kept = f"the last checkpoint, of step {found[0]}, is kept" if found else "nothing is kept"
        raise TrainingError(f"{error}; {kept}; try other settings of {stage.name}") from error
