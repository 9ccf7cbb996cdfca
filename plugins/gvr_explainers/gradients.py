"""Methods that read the gradient by the pixels, computed by captum."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.api import CaptumExplainer
from gvr_explainers.batching import batches, max_batch_size


class InputXGradient(CaptumExplainer):
    """Gradient times input, summed over channels; grey, which is 0, gets none."""

    attribution = "captum.attr:InputXGradient"

    def batch_size(self, x: Tensor) -> int:
        """Return how many images fit in memory."""
        return max_batch_size(x, gradients=True)


class NoisyGradient(CaptumExplainer):
    """What SmoothGrad and VarGrad share: gradients at copies of the image with normal noise."""

    attribution = "captum.attr:Saliency"
    draws = True
    statistic: ClassVar[str]

    class Settings(gvr.Settings):
        """The papers take 50 copies with noise of 10 to 20 % of the image's range."""

        samples: int = Field(50, ge=2, description="copies of the image with noise")
        noise: float = Field(
            0.15, gt=0, description="standard deviation, as a share of the image's range"
        )

    profiles = {"quick": {"samples": 25}}
    settings: Settings

    def method(self, network: nn.Module) -> Any:
        """Return captum's gradient within its noise tunnel."""
        from captum.attr import NoiseTunnel  # slow to import

        return NoiseTunnel(super().method(network))

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the arguments of captum for one image."""
        s = self.settings
        return {
            "nt_type": self.statistic,
            "nt_samples": s.samples,
            "nt_samples_batch_size": min(s.samples, max_batch_size(x, gradients=True)),
            "stdevs": max(s.noise * float(x.max() - x.min()), 1e-6),  # of a flat image 0
            "abs": False,
        }


class SmoothGrad(NoisyGradient):
    """Mean gradient over noisy copies: absolute, and largest over the channels, as `saliency`."""

    statistic = "smoothgrad"

    def combine(self, attributions: Tensor, x: Tensor) -> Tensor:
        """Drop the sign, as the paper's pictures do."""
        return attributions.abs().amax(dim=1)


class VarGrad(NoisyGradient):
    """Variance of the gradient over noisy copies, summed over channels; never negative."""

    statistic = "vargrad"


class ExpectedGradients(CaptumExplainer):
    """Gradient at a random point between a training image and this one, times their difference.

    Its mean over training images; a map sums to about the output of the image minus the mean
    output of training images.
    """

    attribution = "captum.attr:GradientShap"
    draws = True
    uses_reference = True

    class Settings(gvr.Settings):
        """The paper takes 200 draws."""

        samples: int = Field(200, ge=1, description="draws of a training image and a point")

    profiles = {"quick": {"samples": 50}}
    settings: Settings

    def method(self, network: nn.Module) -> Any:
        """Return captum's method, called with as many draws as fit in memory."""
        return InParts(super().method(network))

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the number of draws, and training images spread evenly over the reference."""
        count = min(self.settings.samples, len(ctx.reference))
        rows = torch.arange(count) * len(ctx.reference) // count
        return {"samples": self.settings.samples, "baselines": ctx.reference.images(rows)}


class InParts:
    """Calls captum's GradientShap several times and returns the mean over all draws."""

    def __init__(self, method: Any) -> None:
        self.captums = method

    def attribute(self, x: Tensor, samples: int, **arguments: Any) -> Tensor:
        """Return the mean over `samples` draws for one image (1, C, H, W)."""
        total = torch.zeros_like(x)
        for part in batches(samples, max_batch_size(x, gradients=True)):
            count = part.stop - part.start
            total = total + count * self.captums.attribute(x, n_samples=count, **arguments).detach()
        return total / samples
