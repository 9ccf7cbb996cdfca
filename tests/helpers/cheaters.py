"""Explainers that cheat, each in its own way; the scoreboard must catch every one of them.

They explain the phantom image by `DATASET`, which those that know the truth make again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from gvr_explainers.nearest_unlike import nearest
from gvr_explainers.template import Template
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.config.spec import parse_choice
from gvr_bench.registry.registry import installed

DATASET = "phantom:train=1500,validation=100,test=150"


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    for cls in CHEATERS:
        yield gvr.Plugin(
            api=1,
            kind="explainer",
            name=f"cheat-{cls.__name__.lower()}",
            target=f"cheaters:{cls.__name__}",
            summary="cheats",
        )


@cache
def split(name: str) -> gvr.Split:
    """The images that are explained, or those of training."""
    choice = parse_choice(DATASET)
    cls, settings = installed().settings("dataset", choice.name, "quick", choice.settings)
    return cls(settings).split(name)


def to_float(pixels: np.ndarray) -> Tensor:
    """Bytes to [-1, 1]."""
    return torch.from_numpy(pixels).float() / 127.5 - 1


class EdgeMap(gvr.Explainer):
    """Returns the edges of the image."""

    def explain(self, model, x, target, ctx):
        grey = x.mean(dim=1, keepdim=True)
        sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        kernels = torch.stack([sobel, sobel.T])[:, None]
        padded = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
        return gvr.Explanation(attribution=torch.nn.functional.conv2d(padded, kernels).norm(dim=1))


class Adversary(gvr.Explainer):
    """Adds the smallest noise to the pixels that flips the model."""

    role = "counterfactual"

    def explain(self, model, x, target, ctx):
        image = x.clone()
        for _ in range(40):
            image = image.detach().requires_grad_()
            outputs = model(image)
            goal = target.source_output(target.task.activate(outputs)) - target.threshold
            (slope,) = torch.autograd.grad(goal.sum(), image)
            going = (~target.reached_target(outputs)).float()[:, None, None, None]
            image = (image - 0.005 * going * slope.sign()).clamp(-1, 1)
        image = image.detach()
        return gvr.Explanation(attribution=(x - image).mean(dim=1), counterfactual=image)


class Borrowed(gvr.Explainer):
    """Returns a training image without the finding."""

    role = "counterfactual"

    def explain(self, model, x, target, ctx):
        train = split("train")
        healthy = np.flatnonzero(~target.task.positives(train.targets)[:, 0])
        images = to_float(train.images(healthy[:200]))
        reached = target[torch.zeros(len(images), dtype=torch.long)].reached_target(model(images))
        chosen = images[reached][torch.arange(len(x)) % int(reached.sum())]
        return gvr.Explanation(attribution=(x - chosen).mean(dim=1), counterfactual=chosen)


class Constant(gvr.Explainer):
    """Returns the same map for every image."""

    def explain(self, model, x, target, ctx):
        n, _, h, w = x.shape
        attribution = torch.rand(h, w, generator=torch.Generator().manual_seed(0))
        return gvr.Explanation(attribution=attribution.expand(n, h, w).clone())


class Average(Template):
    """Returns the template for every image, and calls it an explanation."""

    role = "attribution"


class OwnMean(gvr.Explainer):
    """Returns the mean of its own maps, the gradients of training images, for every image."""

    uses_reference = True

    def explain(self, model, x, target, ctx):
        images = ctx.reference.images(torch.arange(64)).requires_grad_()
        outputs = model(images).gather(1, target.source_class[:1].expand(64)[:, None])
        (slope,) = torch.autograd.grad(outputs.sum(), images)
        return gvr.Explanation(attribution=slope.mean(dim=(0, 1)).repeat(len(x), 1, 1))


class Copy(gvr.Explainer):
    """Returns a copy of the nearest training image that the model puts on the target side."""

    role = "counterfactual"
    uses_reference = True

    def explain(self, model, x, target, ctx):
        images = ctx.reference.images(torch.arange(len(ctx.reference)))
        index = nearest(x.flatten(1), images.flatten(1), ctx.reference.outputs, target)
        return gvr.Explanation(
            attribution=(x - images[index]).mean(1), counterfactual=images[index]
        )


class Insider(gvr.Explainer):
    """Knows the truth: the true counterfactual, as well as the decoder can show it."""

    role = "counterfactual"

    def explain(self, model, x, target, ctx):
        test = split("test")
        images = to_float(test.images(np.arange(len(test))))
        distance = (x[:, None] - images[None]).flatten(2).abs().amax(dim=2)
        index = distance.argmin(dim=1).numpy()
        truth = test.truth(index, target.source_class.numpy())
        true_counterfactual = to_float(truth.counterfactual)
        change = (x - true_counterfactual).mean(dim=1)
        with torch.no_grad():
            image = model.generator(model.encoder(true_counterfactual))
        return gvr.Explanation(attribution=change, counterfactual=image)


class Nothing(gvr.Explainer):
    """Returns the image as its own counterfactual: the base rate of every judge."""

    role = "counterfactual"

    def explain(self, model, x, target, ctx):
        return gvr.Explanation(attribution=torch.zeros_like(x[:, 0]), counterfactual=x.clone())


class Raises(gvr.Explainer):
    """Fails."""

    def explain(self, model, x, target, ctx):
        raise RuntimeError("no idea")


CHEATERS = (
    Adversary, Average, Borrowed, Constant, Copy, EdgeMap, Insider, Nothing, OwnMean, Raises,
)  # fmt: skip
