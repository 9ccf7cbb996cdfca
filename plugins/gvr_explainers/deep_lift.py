"""DeepLIFT (Shrikumar et al. 2017) with the rescale rule for any activation."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.integrated_gradients import LEVELS
from gvr_explainers.propagation import MONOTONE, Function, Propagation, replaced_gradient

SMALL = 1e-7  # a difference below which the slope stands for the quotient


class Rescale(Propagation):
    """Gives layers the slope of the line from the baseline's value to the image's.

    A batch holds the images and, behind them, as many baselines.
    """

    method = "DeepLIFT"
    activations = MONOTONE | {"gelu", "silu", "hardswish", "mish"}

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def outputs(self, model: gvr.Model, images: Tensor) -> Tensor:
        """Predict images beside their baselines."""
        baselines = torch.full(images.shape, self.level, dtype=images.dtype, device=images.device)
        return model(torch.cat([images, baselines]))[: images.shape[0]]

    def activation(self, function: Function, x: Tensor) -> Tensor:
        """Apply the rescale rule."""
        image, baseline = x.chunk(2)
        value, before = function(image), function(baseline)
        change = (image - baseline).detach()
        close = change.abs() < SMALL
        slope = (value - before).detach() / torch.where(close, 1.0, change)
        return torch.cat(
            [replaced_gradient(value, torch.where(close, value, image * slope)), before]
        )

    def pool(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Share the change of a maximum between the pixels that are largest before and after."""
        kwargs["return_indices"] = True
        (value, before), (now, then) = (part.chunk(2) for part in F.max_pool2d(x, *args, **kwargs))
        image, baseline = x.chunk(2)
        then = torch.where(at(baseline.flatten(2), now) == before, now, then)  # of equal pixels
        change = (image - baseline).detach()
        close = change.abs() < SMALL
        shares = torch.where(close, 0.0, image / torch.where(close, 1.0, change)).flatten(2)
        larger = torch.maximum(value, before)
        rise, fall = (larger - before).detach(), (value - larger).detach()
        surrogate = at(shares, now) * rise + at(shares, then) * fall
        return torch.cat([replaced_gradient(value, surrogate), before])


class DeepLift(gvr.Explainer):
    """Contribution of each pixel to the difference of the output from that of an empty image.

    A map sums to that difference. The same as captum's `DeepLift` for the activations that captum
    knows; others, such as SELU, get the rescale rule here and the plain gradient there, and maps
    of captum do not add up where a maximum moves from one pixel to another.
    """

    class Settings(gvr.Settings):
        """`baseline` is the empty image."""

        baseline: Literal["black", "grey"] = Field("black", description="the empty image")

    version = "2"
    settings: Settings

    @property
    def completeness_baseline(self) -> float:
        """The level of the empty image."""
        return LEVELS[self.settings.baseline]

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Propagate back. Raises `Unsupported` for functions without a rule, such as attention."""
        level = self.completeness_baseline
        slope = Rescale(level).gradient(model, x, target)
        return gvr.Explanation(attribution=(slope * (x - level)).sum(dim=1))


def at(values: Tensor, index: Tensor) -> Tensor:
    """Pick values (N, C, H * W) by indices of pooling (N, C, h, w): (N, C, h, w)."""
    return values.gather(2, index.flatten(2)).view(index.shape)
