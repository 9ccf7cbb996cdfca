"""The stage that scores the decoder: reconstructions of test images, and draws of its own."""

from __future__ import annotations

from typing import cast

import torch

from gvr_bench.core.reference import even_positions
from gvr_bench.metrics.decoding import decoding_scores
from gvr_bench.metrics.image_similarity import l1
from gvr_bench.pipeline.stage_context import (
    StageContext,
    Step,
    batched,
    load_encoder,
    load_generator,
    write_scores,
)
from gvr_bench.pipeline.steps.oracle import load_oracle

IMAGES = 1000  # at most
REPEATED = 200  # images at most that are encoded and decoded ROUNDS times
ROUNDS = 10


@torch.no_grad()
def compute_decoding(stage_ctx: StageContext) -> None:
    """Encode and decode test images once and ten times, and decode as many random latents."""
    generator = load_generator(stage_ctx)
    encoder = load_encoder(stage_ctx, generator)
    oracle = load_oracle(stage_ctx)
    test = stage_ctx.images("test")
    index = torch.from_numpy(even_positions(len(test), IMAGES))
    size = cast(int, generator.latent_dim)
    z = torch.randn(len(index), size, generator=stage_ctx.ctx.rng("draws"))
    parts = []
    for part in stage_ctx.ctx.batches(len(index)):
        x, drawn = test[index[part]], generator(z[part].to(stage_ctx.ctx.device))
        parts.append((x, generator(encoder(x)), oracle.features(x), oracle.features(drawn)))
    image, reconstruction, features, sampled = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    few = torch.from_numpy(even_positions(len(index), REPEATED))
    composition = reconstruction[few]
    for _ in range(ROUNDS - 1):
        composition = batched(lambda x: generator(encoder(x)), composition, stage_ctx.ctx)
    scores = decoding_scores(image, reconstruction, l1(image[few], composition), features, sampled)
    write_scores(stage_ctx, scores)


STEPS = (Step("decoding", compute_decoding, inputs=("encoder", "data", "oracle"), gpu=0.25),)
