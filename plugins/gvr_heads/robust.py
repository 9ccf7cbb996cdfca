"""A head that is robust to small changes of the latent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .networks import Mlp


class RobustMlp(Mlp):
    """The two-layer perceptron with adversarial training.

    Each latent moves by `radius` along the gradient of its own loss before the loss is computed
    (Goodfellow et al. 2015, with the Euclidean norm; Miyato et al. 2017). Such a head uses visible
    differences, so that changing its prediction changes the image.
    """

    class Settings(Mlp.Settings):
        """Settings of the perceptron, and the radius."""

        radius: float = Field(
            0.1,
            ge=0,
            description="relative to the root mean square distance of latents from their mean",
        )

    settings: Settings

    def loss(self, net: nn.Module, z: Tensor, targets: Tensor, task: gvr.Task) -> Tensor:
        """Return the loss for latents (N, D), each moved to increase it."""
        radius = self.settings.radius * net[0].deviation.norm()  # type: ignore[index]
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(super().loss(net, at, targets, task), at)
        return super().loss(net, z + radius * F.normalize(slope, dim=1), targets, task)
