"""Your own decoder."""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

import gvr_bench.api as gvr

from .loading import make_network
from .settings import NetworkSettings, Several
from .wrapped_network import TorchModel, WrappedNetwork, check_shapes, shuffled

DRAWS = 16  # latents whose images are checked
SLACK = 0.1  # share of the range by which a decoder without a last activation may exceed it
MAX_OUTSIDE = 0.25  # of all pixels


class DecoderNetwork(WrappedNetwork):
    """Latent (N, D) -> image (N, C, H, W) in [-1, 1]."""

    def __init__(
        self, net: nn.Module, settings: TorchGenerator.Settings, dim: int, image: gvr.ImageSpec
    ) -> None:
        super().__init__(net, settings)
        self.latent_dim = dim
        self.settings = settings
        self.shape = image.channels, image.size, image.size

    def forward(self, z: Tensor) -> Tensor:
        s = self.settings
        return (2 * (self.raw(z) - s.low) / (s.high - s.low) - 1).clamp(-1, 1)

    def raw(self, z: Tensor) -> Tensor:
        """Decode to the network's own range; a flat output becomes an image."""
        shape = self.settings.shape
        out = self.run(z.reshape(len(z), *shape) if shape else z)
        if out.dim() == 2 and out.shape[1] == math.prod(self.shape):
            return out.reshape(len(out), *self.shape)
        return out


class TorchGenerator(TorchModel, gvr.Generator):
    """Your own decoder from latents to images between `low` and `high`."""

    class Settings(NetworkSettings):
        """The decoder, and its input and output."""

        latent_dim: int | None = Field(
            None, ge=1, description="size of a latent; default: the network's latent_dim"
        )
        shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Several] = Field(
            (), description="of a latent, e.g. 64+1+1; default: flat"
        )
        low: float = Field(0.0, description="output value for black")
        high: float = Field(1.0, description="output value for white")

        @model_validator(mode="after")
        def _sensible(self) -> Self:
            if self.low == self.high:
                raise ValueError("low and high must differ")
            if self.shape and self.latent_dim not in (None, math.prod(self.shape)):
                raise ValueError(
                    f"shape {'+'.join(map(str, self.shape))} has {math.prod(self.shape)} numbers "
                    f"and latent_dim is {self.latent_dim}"
                )
            return self

    settings: Settings

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        """Return the network with shuffled weights.

        Raises `UsageError` if its output does not fit the data set.
        """
        s = self.settings
        net = make_network(s)
        dim = s.latent_dim or (math.prod(s.shape) if s.shape else getattr(net, "latent_dim", None))
        if not isinstance(dim, int):
            raise gvr.UsageError(
                "generator 'torch-model': the size of its latents is unknown; set latent_dim=..."
            )
        decoder = DecoderNetwork(net, s, dim, image)
        check_shapes(decoder, "generator", (dim,), (image.channels, image.size, image.size))
        check_range(decoder)
        return shuffled(decoder)

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Restore the original weights."""
        self.restore(net, ctx)


@torch.no_grad()
def check_range(net: DecoderNetwork) -> None:
    """Raise `UsageError` if many pixels of random images would be clipped."""
    low, high = sorted((net.settings.low, net.settings.high))
    slack = SLACK * (high - low)
    z = torch.randn(DRAWS, net.latent_dim, generator=torch.Generator().manual_seed(0))
    out = net.raw(z)
    if not bool(out.isfinite().all()):
        raise gvr.UsageError("generator 'torch-model' returns NaN or infinity for some latents")
    outside = (out < low - slack) | (out > high + slack)
    if float(outside.float().mean()) > MAX_OUTSIDE:
        raise gvr.UsageError(
            f"generator 'torch-model' returns values from {float(out.min()):.3g} to "
            f"{float(out.max()):.3g}, many outside low={net.settings.low:g} to "
            f"high={net.settings.high:g}; set both to its black and white, e.g. low=-1,high=1"
        )
