"""The training images that an explainer may compare an image with."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import Tensor

from gvr_bench.core.components import Explainer
from gvr_bench.core.reference import Reference, spread
from gvr_bench.core.stage import depends_on
from gvr_bench.core.types import Model
from gvr_bench.data.stored_images import StoredImages
from gvr_bench.pipeline.stage_context import StageContext


def with_reference(
    stage_ctx: StageContext, explainer: Explainer, model: Model, *, encode: bool = False
) -> StageContext:
    """Return the context with a reference, if the explainer declares that it uses one.

    Its latents are those of the cache, unless `encode` says that the encoder is another one.
    """
    if not explainer.uses_reference:
        return stage_ctx
    task, device = stage_ctx.dataset().task, stage_ctx.ctx.device
    targets = stage_ctx.arrays("data", "train/targets")["train/targets"]
    rows = torch.from_numpy(spread(targets, task))

    @functools.cache
    def train() -> StoredImages:
        return stage_ctx.images("train")

    def latents() -> Tensor:  # those of the images themselves come before those of their copies
        stored = stage_ctx.arrays("latents", "train/z", rows=slice(0, len(targets)))["train/z"]
        return torch.from_numpy(stored[rows.numpy()]).to(device)

    cached = depends_on(stage_ctx.stage, "latents") and not encode
    reference = Reference(
        model,
        task,
        targets[rows.numpy()],
        lambda index: train()[rows[index]],
        stage_ctx.ctx.batch_size,
        latents if cached else None,
    )
    return replace(stage_ctx, ctx=replace(stage_ctx.ctx, _reference=reference))
