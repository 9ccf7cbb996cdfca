"""The stage that asks the model what each structure of an image is worth to it."""

from __future__ import annotations

import numpy as np
import torch

from gvr_bench.cache.hdf5 import has_array, write_arrays
from gvr_bench.data.stored_images import to_float
from gvr_bench.metrics.intervention import effect_scores, evidence
from gvr_bench.pipeline.stage_context import (
    StageContext,
    Step,
    batched,
    load_model,
    read_targets,
    write_scores,
)
from gvr_bench.pipeline.steps.shards import count_cases

CASES = 8  # read at a time: each comes with an image per structure


@torch.no_grad()
def compute_structure_effects(stage_ctx: StageContext) -> None:
    """Compare the model's output with that for the image without each visible structure.

    Writes `effect` (N, K), NaN where a structure is absent; nothing where there are no structures.
    """
    cases = stage_ctx.stage.input("cases")
    path = stage_ctx.file(cases, "cases.h5")
    if not has_array(path, "structure_present"):
        write_arrays(stage_ctx.out("structure_effects.h5"), {})
        write_scores(stage_ctx, effect_scores(*(np.zeros((0, 0), bool) for _ in range(3))))
        return
    names = "structure_present", "structure_cause", "structure_distractor"
    present, cause, distractor = stage_ctx.arrays("cases", *names).values()
    model, task = load_model(stage_ctx), stage_ctx.dataset().task
    effect = np.full(present.shape, np.nan, np.float32)
    total = count_cases(stage_ctx.cache, stage_ctx.stage)
    for rows in stage_ctx.ctx.batches(total, CASES):
        stage_ctx.ctx.progress(rows.start, total, "")
        columns = "image", "structure_removed", "source_class", "target_class"
        image, removed, *classes = stage_ctx.arrays("cases", *columns, rows=rows).values()
        case, structure = np.nonzero(present[rows])
        # Each image is followed by itself without one structure after another.
        pixels = torch.from_numpy(np.concatenate([image, removed[case, structure]]))
        which = np.concatenate([np.arange(len(image)), case])
        target = read_targets(stage_ctx, task, *(column[which] for column in classes))
        log_odds = evidence(target, batched(lambda x: model(to_float(x)), pixels, stage_ctx.ctx))
        unchanged, without = np.split(log_odds.cpu().numpy(), [len(image)])
        effect[rows.start + case, structure] = unchanged[case] - without
    write_arrays(stage_ctx.out("structure_effects.h5"), {"effect": effect})
    write_scores(stage_ctx, effect_scores(effect, cause, distractor))


STEPS = (Step("structure_effects", compute_structure_effects, inputs=("head", "cases"), gpu=0.25),)
