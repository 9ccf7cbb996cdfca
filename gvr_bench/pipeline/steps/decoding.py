"""The stage that scores the decoder: reconstructions of test images, and draws of its own."""

from __future__ import annotations

from typing import cast

import torch

from gvr_bench.metrics.decoding import decoding_scores
from gvr_bench.pipeline.stage_context import Bench, load_encoder, load_generator, write_scores
from gvr_bench.pipeline.steps.oracle import load_oracle, spread

IMAGES = 1000  # at most
ROUNDS = 10


@torch.no_grad()
def compute_decoding(bench: Bench) -> None:
    """Encode and decode test images once and ten times, and decode as many random latents."""
    generator = load_generator(bench)
    encoder = load_encoder(bench, generator)
    oracle = load_oracle(bench)
    test = bench.images("test")
    index = spread(len(test), IMAGES)
    size = cast(int, generator.latent_dim)
    z = torch.randn(len(index), size, generator=bench.ctx.generator("draws"))
    parts = []
    for part in bench.ctx.batches(len(index)):
        x = test[index[part]]
        rounds = [x]
        for _ in range(ROUNDS):
            rounds.append(generator(encoder(rounds[-1])))
        drawn = generator(z[part].to(bench.ctx.device))
        parts.append((x, rounds[1], rounds[-1], oracle.features(x), oracle.features(drawn)))
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    write_scores(bench, decoding_scores(*columns))
