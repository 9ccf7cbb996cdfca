"""Class activation maps that weigh a layer by its gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.cam_base import GradientCam, LayerMaps

FLAT = 1e-5  # of the largest gradient: rounding of one that is the same at every pixel


class GradCam(GradientCam):
    """Where a layer of the network speaks for the output; never negative.

    Each channel by its mean gradient (Selvaraju et al. 2017; Zhou et al. 2016).
    """

    version = "2"

    def combine(self, maps: Tensor, slope: Tensor) -> Tensor:
        """Weigh each channel by its mean gradient."""
        return slope.mean(dim=(2, 3), keepdim=True) * maps


class CounterfactualCam(GradCam):
    """Where a layer of the network speaks against the output; never positive.

    Grad-CAM of the negated gradients (Selvaraju et al. 2017, counterfactual explanations), negated
    because a positive attribution speaks for the output.
    """

    rectified = False

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, inside: LayerMaps
    ) -> Tensor:
        """Return the part that `grad-cam` rectifies away."""
        return super().weighted(model, x, target, inside).clamp(max=0)


class GradCamPlusPlus(GradientCam):
    """Grad-CAM that counts a channel by where its gradient is positive, for several findings.

    The higher derivatives of the paper are those of the exponential of the output.
    """

    def combine(self, maps: Tensor, slope: Tensor) -> Tensor:
        """Weigh each channel by its positive gradients, those of rarely active channels more."""
        square, cube = slope.square(), slope.pow(3)
        rest = 2 * square + cube * maps.sum(dim=(2, 3), keepdim=True)
        share = square / torch.where(rest == 0, 1.0, rest)
        return (share * F.relu(slope)).sum(dim=(2, 3), keepdim=True) * maps


class HiResCam(GradientCam):
    """Gradient times map at every pixel of a layer, with its sign.

    Where only a linear layer follows, a map sums to the output without its bias, before it is
    upsampled.
    """

    rectified = False

    def combine(self, maps: Tensor, slope: Tensor) -> Tensor:
        """Multiply gradient and map. Raises `Unsupported` where this is the same as Grad-CAM."""
        require_places(slope)
        return slope * maps


class LayerCam(GradientCam):
    """Positive gradient times map at every pixel of a layer.

    By default it looks before the last change of size: fine maps of earlier layers are what it is
    for.
    """

    finer = True

    def combine(self, maps: Tensor, slope: Tensor) -> Tensor:
        """Multiply positive gradients and the map. Raises `Unsupported` as `hires-cam` does."""
        require_places(slope)
        return F.relu(slope) * maps


def require_places(slope: Tensor) -> None:
    """Raise `Unsupported` where the gradient (N, channels, h, w) is the same at every pixel."""
    spread = slope - slope.mean(dim=(2, 3), keepdim=True)
    if slope.any() and bool(spread.abs().amax() <= FLAT * slope.abs().amax()):
        raise gvr.Unsupported(
            "global average pooling follows the layer, so that every pixel weighs the same, as in "
            "grad-cam; name an earlier layer with layer="
        )
