"""The heads of the papers, which differ only in their architecture."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .fitting import FittedHead, Standardise


class Block(nn.Module):
    """x + SELU(Wx): one layer of the residual head."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layer = nn.Linear(units, units)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.selu(self.layer(x))


class Linear(FittedHead):
    """One linear layer: linear, logistic or softmax regression, with a ridge penalty.

    Encoded latents are strongly correlated. Without the penalty the weights use directions in which
    images hardly vary, so that moving a latent along them changes the prediction but not the image.
    With it the head predicts equally well and is much harder to fool.
    """

    class Settings(FittedHead.Settings):
        """Settings of every head, and the ridge."""

        ridge: float | None = Field(
            None,
            ge=0,
            description="weight of the squared weights, latents being standardised; by default "
            "0.3 for regression and 0.01 for classification, whose loss is flatter",
        )

    settings: Settings

    def regularise(self, net: nn.Module, task: gvr.Task) -> Tensor:
        ridge = self.settings.ridge
        if ridge is None:  # chosen on validation images
            ridge = 0.3 if task.kind == "regression" else 0.01
        weight = net[-1].weight  # type: ignore[index]
        return ridge * weight.square().sum()

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network, initialised at zero because a weak ridge keeps random weights."""
        layer = nn.Linear(latent_dim, len(task.outputs))
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(Standardise(latent_dim), layer)


class Mlp(FittedHead):
    """Two-layer perceptron with 256 hidden units (2018 paper, section 2)."""

    class Settings(FittedHead.Settings):
        """Settings of every head, and the width."""

        units: int = Field(256, ge=1)

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        units = self.settings.units
        return nn.Sequential(
            Standardise(latent_dim),
            nn.Linear(latent_dim, units),
            nn.SELU(),
            nn.Linear(units, len(task.outputs)),
        )


class Residual(FittedHead):
    """Six fully connected layers of 100 units with residual connections (2017 paper, Fig. 1)."""

    class Settings(FittedHead.Settings):
        """Settings of every head, width and depth."""

        units: int = Field(100, ge=1)
        layers: int = Field(6, ge=1)

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        s = self.settings
        return nn.Sequential(
            Standardise(latent_dim),
            nn.Linear(latent_dim, s.units),
            *(Block(s.units) for _ in range(s.layers - 1)),
            nn.Linear(s.units, len(task.outputs)),
        )
