"""The stage that asks the model how it reacts to noise, once for all explainers."""

from __future__ import annotations

import numpy as np

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.metrics.faithfulness import response_to_noise
from gvr_bench.pipeline.stage_context import StageContext, Step, load_model
from gvr_bench.pipeline.steps.explanations import read_cases
from gvr_bench.pipeline.steps.shards import batches, count_cases


def compute_noise_response(stage_ctx: StageContext) -> None:
    """Write `response` (N, DRAWS), how far the explained output falls without each noise."""
    model, total = load_model(stage_ctx), count_cases(stage_ctx.cache, stage_ctx.stage)
    parts = []
    for rows in batches(stage_ctx, slice(0, total)):
        images, target = read_cases(stage_ctx, rows)
        parts.append(response_to_noise(model, target, images).cpu().numpy())
    write_arrays(stage_ctx.out("noise_response.h5"), {"response": np.concatenate(parts)})


STEPS = (Step("noise_response", compute_noise_response, inputs=("head", "cases"), gpu=0.25),)
