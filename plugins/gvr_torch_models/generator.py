"""Any decoder as the generator."""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

import gvr_bench.api as gvr

from .loading import make_network
from .settings import Many, NetworkSettings
from .wrapped_network import Given, TorchModel, random_weights, refuse_unfit

DRAWS = 16  # latents whose images must lie in the range
SLACK = 0.1  # of the range, that a decoder without a last activation may leave it by
MOST_OUTSIDE = 0.25  # of all pixels


class PictureDecoder(Given):
    """Latent (N, D) -> image (N, C, H, W) in [-1, 1]."""

    def __init__(
        self, net: nn.Module, settings: TorchGenerator.Settings, dim: int, image: gvr.ImageSpec
    ) -> None:
        super().__init__(net, settings)
        self.latent_dim = dim
        self.settings = settings
        self.shape = image.channels, image.size, image.size

    def forward(self, z: Tensor) -> Tensor:
        """Decode."""
        s = self.settings
        return (2 * (self.raw(z) - s.low) / (s.high - s.low) - 1).clamp(-1, 1)

    def raw(self, z: Tensor) -> Tensor:
        """Decode to the network's own range; a flat answer becomes an image."""
        shape = self.settings.shape
        out = self.run(z.reshape(len(z), *shape) if shape else z)
        if out.dim() == 2 and out.shape[1] == math.prod(self.shape):
            return out.reshape(len(out), *self.shape)
        return out


class TorchGenerator(TorchModel, gvr.Generator):
    """A decoder made elsewhere, from latents to images between `low` and `high`."""

    class Settings(NetworkSettings):
        """Whose decoder it is, and what goes in and comes out."""

        latent_dim: int | None = Field(
            None, ge=1, description="numbers in a latent; default: the network's latent_dim"
        )
        shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Many] = Field(
            (), description="of its latents, e.g. 64+1+1; default: flat"
        )
        low: float = Field(0.0, description="its value for black")
        high: float = Field(1.0, description="its value for white")

        @model_validator(mode="after")
        def _sensible(self) -> Self:
            if self.low == self.high:
                raise ValueError("low and high are the values of black and white, and must differ")
            if self.shape and self.latent_dim not in (None, math.prod(self.shape)):
                raise ValueError(
                    f"a latent of {'+'.join(map(str, self.shape))} has {math.prod(self.shape)} "
                    f"numbers, and latent_dim says {self.latent_dim}"
                )
            return self

    settings: Settings

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        """Return the network with shuffled weights.

        Raises `UsageError` where it does not make the data set's images.
        """
        s = self.settings
        net = make_network(s)
        dim = s.latent_dim or (math.prod(s.shape) if s.shape else getattr(net, "latent_dim", None))
        if not isinstance(dim, int):
            raise gvr.UsageError(
                "generator 'torch-model': how many numbers its latents have is not known; set "
                "latent_dim=..."
            )
        decoder = PictureDecoder(net, s, dim, image)
        refuse_unfit(decoder, "generator", (dim,), (image.channels, image.size, image.size))
        refuse_range(decoder)
        return random_weights(decoder)

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Put the given weights in."""
        self.restore(net, ctx)


@torch.no_grad()
def refuse_range(net: PictureDecoder) -> None:
    """Refuse a decoder most of whose pixels would be cut off. Raises `UsageError`."""
    low, high = sorted((net.settings.low, net.settings.high))
    slack = SLACK * (high - low)
    z = torch.randn(DRAWS, net.latent_dim, generator=torch.Generator().manual_seed(0))
    out = net.raw(z)
    if not bool(out.isfinite().all()):
        raise gvr.UsageError("generator 'torch-model' gives NaN or infinity for some latents")
    outside = (out < low - slack) | (out > high + slack)
    if float(outside.float().mean()) > MOST_OUTSIDE:
        raise gvr.UsageError(
            f"generator 'torch-model' gives values from {float(out.min()):.3g} to "
            f"{float(out.max()):.3g}, most of them not between low={net.settings.low:g} and "
            f"high={net.settings.high:g}; set both to its black and white, e.g. low=-1,high=1"
        )
