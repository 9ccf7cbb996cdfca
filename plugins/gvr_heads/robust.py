"""Adversarial training: heads that small changes of their input cannot fool."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .fitting import FittedHead
from .networks import Mlp

OVERSHOOT = 1.8  # steps together are this many radii long, so that the ball's border is reached


class RobustSettings(FittedHead.Settings):
    """Settings of every head, and of the inputs that are moved against it."""

    radius: float = Field(
        0.1, ge=0, description="relative to the root mean square distance of inputs from their mean"
    )
    passes: int = Field(1, ge=1, description="gradient steps within the radius")
    ramp: float = Field(0.0, ge=0, le=1, description="share of the training in which it grows")
    clean: float = Field(0.0, ge=0, le=1, description="share of the loss for inputs as they are")


class RobustHead(FittedHead):
    """A head with adversarial training.

    Each input moves against its own loss, within a ball, before the loss is computed (Goodfellow et
    al. 2015 and Madry et al. 2018, with the Euclidean norm). Such a head uses visible differences,
    so that changing its prediction changes the image.
    """

    settings: RobustSettings

    def loss(
        self, net: nn.Module, x: Tensor, targets: Tensor, task: gvr.Task, done: float
    ) -> Tensor:
        """Return the loss for inputs (N, ...) and for moved ones, in their shares."""
        s = self.settings
        growth = min(1.0, done / s.ramp) if s.ramp else 1.0
        radius = s.radius * growth * net[0].radius  # type: ignore[index]

        def plain(inputs: Tensor) -> Tensor:
            return super(RobustHead, self).loss(net, inputs, targets, task, done)

        if not float(radius) or s.clean == 1:
            return plain(x)
        with torch.enable_grad():
            change = torch.zeros_like(x)
            for _ in range(s.passes):
                change.requires_grad_()
                (slope,) = torch.autograd.grad(plain(x + change), change)
                step = F.normalize(slope.flatten(1), dim=1).view_as(x)
                step = step * radius * (OVERSHOOT / s.passes if s.passes > 1 else 1)
                change = inside(change.detach() + step, radius)
        moved = plain(x + change)
        return moved if not s.clean else s.clean * plain(x) + (1 - s.clean) * moved


def inside(change: Tensor, radius: Tensor) -> Tensor:
    """Shorten changes (N, ...) that are longer than the radius."""
    length = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    return change * (radius / length).clamp_max(1).view(-1, *[1] * (change.dim() - 1))


class RobustMlp(RobustHead, Mlp):
    """The two-layer perceptron with adversarial training in one step (Miyato et al. 2017)."""

    class Settings(RobustSettings, Mlp.Settings):
        """Settings of the perceptron, and of adversarial training."""

    settings: Settings  # type: ignore[assignment]
