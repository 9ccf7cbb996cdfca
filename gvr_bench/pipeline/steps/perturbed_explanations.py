"""The stage that explains the same cases again with one change."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from gvr_bench.cache.hdf5 import put_rows, writing_arrays
from gvr_bench.core.components import Encoder, Generator, Head
from gvr_bench.core.context import Context
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.reference import even_positions
from gvr_bench.core.types import ExplanationTarget, Floats, Model
from gvr_bench.metrics.sanity import is_changed
from gvr_bench.pipeline.stage_context import (
    StageContext,
    Step,
    freeze,
    in_fast_layout,
    load_model,
    model_of,
    read_targets,
    seeded_by,
    with_reference,
)
from gvr_bench.pipeline.steps.explanations import explain, read_cases
from gvr_bench.pipeline.steps.shards import Arrays, Work, batches, count_cases, in_parts
from gvr_bench.pipeline.steps.train_networks import seeded

PERTURBED = "perturbed"  # the change that is noise on the images
OTHER_TARGET = "other_target"  # the change that is another output to explain
CASCADE = "cascade_"  # random weights in so many % of the modules, from the output down
DRAWS = 3  # perturbed copies of each image
RANDOMISED_GENERATOR = "randomised_generator"
PROBES = 3  # images whose maps tell whether an explainer uses the generator at all
RADIUS = 0.02  # of the noise, on the [-1, 1] scale (captum's default)


def compute_perturbed_explanations(stage_ctx: StageContext) -> None:
    """Explain with random weights, with noise on the images, or another output.

    The explainer draws the same random numbers as before, so that nothing else changes. Cases whose
    finding the model does not predict are left out, for they have no scores; of many others some
    are explained, evenly spaced. Maps of the rest are NaN.
    """
    total = count_cases(stage_ctx.cache, stage_ctx.stage)
    with writing_arrays(stage_ctx.out("perturbed_explanations.h5")) as file:
        for rows, arrays in in_parts(stage_ctx, prepare):
            put_rows(file, arrays, rows.start, total)


def prepare(stage_ctx: StageContext) -> Work:
    settings = stage_ctx.stage.settings
    changed = settings["changed"]
    working = StageContext(
        stage_ctx.stage,
        stage_ctx.cache,
        seeded_by(stage_ctx, stage_ctx.stage.inputs["explanations"]),
    )
    explainer = cast(Explainer, stage_ctx.stage.component)
    model = load_model(stage_ctx)
    predicted = np.flatnonzero(
        stage_ctx.arrays("explanations", "predicts_source")["predicts_source"]
    )
    sample = predicted[even_positions(len(predicted), settings["cases"])]
    noise = Noise(seeded_by(stage_ctx, stage_ctx.stage.input("cases")))
    trained = model.encoder
    if changed not in (PERTURBED, OTHER_TARGET):
        change = cascaded if changed.startswith(CASCADE) else randomised
        model = change(model, changed.partition("_")[2], stage_ctx)
    working = with_reference(working, explainer, model, encode=model.encoder is not trained)

    def attribution(x: Tensor, target: ExplanationTarget) -> Floats:
        explanation = explain(explainer, model, x, target, working)
        return explanation.attribution.detach().float().cpu().numpy()

    def maps_of(x: Tensor, target: ExplanationTarget, before: Floats | None) -> Floats:
        """Explain images (n, ...), or return the maps `before` where they depend on nothing new."""
        if before is None or len(x) <= PROBES:
            return attribution(x, target)
        few = slice(0, PROBES)
        stay = tell_no_change(before[few], attribution(x[few], target[few]))
        return before if stay else attribution(x, target)

    def work(rows: slice) -> Arrays:
        maps = []
        for batch in batches(stage_ctx, rows):
            x, target = read_cases(stage_ctx, batch)
            if changed == OTHER_TARGET:
                target = other_target(stage_ctx, target)
            chosen = np.isin(np.arange(batch.start, batch.stop), sample)
            copies = [x]
            if changed == PERTURBED:
                copies = [perturbed(x, drawn) for drawn in noise.of(batch, x.shape[1:])]
            out = np.full((len(x), len(copies), *x.shape[2:]), np.nan, np.float32)
            before = None
            if changed == RANDOMISED_GENERATOR and not explainer.uses_decoder():
                arrays = stage_ctx.arrays("explanations", "attribution", rows=batch)
                before = arrays["attribution"][chosen]
            for number, images in enumerate(copies if chosen.any() else ()):
                own = target[torch.from_numpy(chosen)]
                out[chosen, number] = maps_of(images[chosen], own, before)
            maps.append(out if changed == PERTURBED else out[:, 0])
        return {"attribution": np.concatenate(maps)}

    return work


def tell_no_change(before: Floats, after: Floats) -> bool:
    """Whether maps (n, H, W) stay; a map of 0, as of a search that always fails, cannot tell."""
    maps = torch.from_numpy(before)
    return bool(maps.flatten(1).any(1).all()) and not is_changed(maps, torch.from_numpy(after))


def other_target(stage_ctx: StageContext, target: ExplanationTarget) -> ExplanationTarget:
    """Return the targets of the way back between two classes, or of the next output."""
    source, goal = (of.cpu().numpy() for of in (target.source_class, target.target_class))
    if target.task.kind == "multiclass":
        return read_targets(stage_ctx, target.task, goal, source)
    following = (source + 1) % len(target.task.outputs)
    return read_targets(stage_ctx, target.task, following, following)


class Noise:
    """Uniform noise within the radius: the same for a case, whatever part it is in."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.drawn: list[tuple[torch.Generator, int]] = []  # and for how many cases, by copy

    def of(self, rows: slice, shape: Sequence[int]) -> Iterator[Tensor]:
        """Yield `DRAWS` times the noise of some cases: (n, *shape)."""
        if not self.drawn or self.drawn[0][1] > rows.start:
            self.drawn = [(self.ctx.rng(draw), 0) for draw in range(DRAWS)]
        for draw, (rng, done) in enumerate(self.drawn):
            for start in range(done, rows.start, self.ctx.batch_size):  # of other cases
                n = min(self.ctx.batch_size, rows.start - start)
                torch.empty((n, *shape)).uniform_(generator=rng)
            noise = torch.empty((rows.stop - rows.start, *shape))
            yield noise.uniform_(-RADIUS, RADIUS, generator=rng)
            self.drawn[draw] = rng, rows.stop


def perturbed(x: Tensor, noise: Tensor) -> Tensor:
    """Add noise, staying in [-1, 1]. (N, C, H, W)."""
    return (x + noise.to(x.device)).clamp(-1, 1)


def randomised(model: Model, part: str, stage_ctx: StageContext) -> Model:
    """Give random weights to the head, the encoder or the generator."""
    fresh = fresh_network(part, model, stage_ctx)
    return with_networks(model, stage_ctx, **{"net" if part == "head" else part: fresh})


def cascaded(model: Model, percent: str, stage_ctx: StageContext) -> Model:
    """Give random weights to so many % of the modules of the explained network, the last first."""
    networks = {"net": model.classifier or model.head}
    if model.classifier is None:
        networks = {"encoder": model.encoder, **networks}
    fresh = [
        fresh_network("head" if name == "net" else name, model, stage_ctx) for name in networks
    ]
    changed = randomised_from_output(list(networks.values()), fresh, int(percent) / 100)
    return with_networks(model, stage_ctx, **dict(zip(networks, changed, strict=True)))


def randomised_from_output(
    networks: Sequence[nn.Module],
    fresh: Sequence[nn.Module],
    share: float,
) -> list[nn.Module]:
    """Copy networks that follow each other, the last modules with the weights of `fresh` ones.

    `share` is that of the modules that have weights of their own, in the order in which a network
    registers them, rounded up. A network without a changed module is returned as it is.
    """
    copies = [copy.deepcopy(network) for network in networks]
    pairs = [
        (number, mine, theirs)
        for number, (network, other) in enumerate(zip(copies, fresh, strict=True))
        for mine, theirs in zip(network.modules(), other.modules(), strict=True)
        if next(mine.parameters(recurse=False), None) is not None
    ]
    chosen = pairs[len(pairs) - math.ceil(share * len(pairs)) :]
    for _, mine, theirs in chosen:
        for of in (nn.Module.named_parameters, nn.Module.named_buffers):
            weights = dict(of(theirs, recurse=False))
            for name, weight in of(mine, recurse=False):
                weight.copy_(weights[name])
    changed = {number for number, *_ in chosen}
    return [copies[i] if i in changed else network for i, network in enumerate(networks)]


def fresh_network(part: str, model: Model, stage_ctx: StageContext) -> nn.Module:
    """Build the head, the encoder or the generator of a model with random weights."""
    image, task = stage_ctx.dataset().image, stage_ctx.dataset().task
    head = cast(Head, stage_ctx.stage.input("head").component)

    def build() -> nn.Module:
        match part:
            case "generator":
                generator = cast(Generator, stage_ctx.stage.input("generator").component)
                return generator.build(image)
            case "encoder":
                encoder = cast(Encoder, stage_ctx.stage.input("encoder").component)
                return encoder.build(image, model.generator)
            case _:
                return head.build(cast(int, model.generator.latent_dim), task)

    ctx = seeded_by(stage_ctx, stage_ctx.stage.input("head"))
    fresh = freeze(seeded(build, ctx))
    trained = (model.classifier or model.head) if part == "head" else getattr(model, part)
    shuffle_constant_weights(fresh, trained, ctx.rng(0))
    return in_fast_layout(fresh, image) if part == "head" and head.sees == "images" else fresh


@torch.no_grad()
def shuffle_constant_weights(fresh: nn.Module, trained: nn.Module, rng: torch.Generator) -> None:
    """Put the trained weights in random order where fresh ones are all alike, as the zeros that a
    linear head starts from: its map would be 0 everywhere, unlike any other for nothing.
    """
    for mine, theirs in zip(fresh.parameters(), trained.parameters(), strict=True):
        if mine.ndim > 1 and mine.numel() > 1 and bool((mine == mine.ravel()[0]).all()):
            order = torch.randperm(mine.numel(), generator=rng).to(mine.device)
            mine.copy_(theirs.ravel()[order].view(mine.shape))


def with_networks(model: Model, stage_ctx: StageContext, **changed: nn.Module) -> Model:
    networks = {
        "net": model.classifier or model.head,
        "encoder": model.encoder,
        "generator": model.generator,
    }
    return model_of(cast(Head, stage_ctx.stage.input("head").component), **networks | changed)


STEPS = (
    Step(
        "perturbed_explanations",
        compute_perturbed_explanations,
        inputs=("explanations",),
        sharded=prepare,
    ),
)
