"""The stage that explains the same cases again with one thing changed."""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.arrays import write_arrays
from gvr_bench.compute.bench import Bench, Decoded, cases_query, freeze, load_model, of_latents
from gvr_bench.compute.explanations import explain
from gvr_bench.compute.networks import seeded
from gvr_bench.images import to_float
from gvr_bench.scoring import PERTURBED
from gvr_bench.stages import Stage
from gvr_bench.types import Model

DRAWS = 5  # perturbed copies of each image
RADIUS = 0.02  # of the noise, on the [-1, 1] scale (captum's default)


def compute_probe(bench: Bench) -> None:
    """Explain with randomised weights of one network, or inputs perturbed a little.

    The explainer draws the random numbers it drew the first time: only what is named changes.
    """
    changed = bench.stage.settings["changed"]
    same_draws = seeded_by(bench, bench.stage.inputs[0])
    cases = bench.arrays("cases", "image", "source", "target")
    x = to_float(torch.from_numpy(cases["image"]).to(bench.ctx.device))
    query = cases_query(bench, bench.dataset().task, cases["source"], cases["target"])
    explainer = cast(gvr.Explainer, bench.stage.component)
    model = load_model(bench)
    if changed == PERTURBED:
        noise = seeded_by(bench, bench.stage.input("cases"))
        inputs = [perturbed(x, noise.generator(draw)) for draw in range(DRAWS)]
    else:
        weights = seeded_by(bench, bench.stage.input("head"))
        part_of_model = changed.removeprefix("randomised_")
        model, inputs = randomised(model, part_of_model, bench, weights), [x]
    working = Bench(bench.stage, bench.store, same_draws)
    heats = []
    for number, images in enumerate(inputs):
        parts = []
        for start in range(0, len(x), bench.ctx.batch_size):
            bench.ctx.progress(number * len(x) + start, len(inputs) * len(x), "")
            part = slice(start, start + bench.ctx.batch_size)
            made_again = explain(explainer, model, images[part], query[part], working)
            parts.append(made_again.heat.detach().float().cpu().numpy())
        heats.append(np.concatenate(parts))
    heat = np.stack(heats, axis=1) if changed == PERTURBED else heats[0]
    write_arrays(bench.out("probe.h5"), {"heat": heat})


def seeded_by(bench: Bench, stage: Stage) -> gvr.Context:
    """Return the context with the random numbers of another stage, the same for all explainers."""
    return dataclasses.replace(bench.ctx, seed=gvr.seed_from(stage.key))


def perturbed(x: Tensor, rng: torch.Generator) -> Tensor:
    """Add uniform noise within the radius, staying in [-1, 1]. (N, C, H, W)."""
    noise = torch.empty(x.shape).uniform_(-RADIUS, RADIUS, generator=rng)
    return (x + noise.to(x.device)).clamp(-1, 1)


def randomised(model: Model, part: str, bench: Bench, ctx: gvr.Context) -> Model:
    """Replace one network by the same one with fresh weights.

    A head that sees images sees those of a fresh generator, too.
    """
    image, task = bench.dataset().image, bench.dataset().task
    head = cast(gvr.Head, bench.stage.input("head").component)

    def build() -> nn.Module:
        match part:
            case "generator":
                generator = cast(gvr.Generator, bench.stage.input("generator").component)
                return generator.build(image)
            case "encoder":
                encoder = cast(gvr.Encoder, bench.stage.input("encoder").component)
                return encoder.build(image, model.generator)
            case _:
                return head.build(cast(int, model.generator.latent_dim), task)

    fresh = freeze(seeded(build, ctx))
    if part == "generator" and isinstance(model.head, Decoded):
        return dataclasses.replace(
            model, generator=fresh, head=of_latents(head, model.head.head, fresh)
        )
    if part == "head":
        fresh = of_latents(head, fresh, model.generator)
    return dataclasses.replace(model, **{part: fresh})
