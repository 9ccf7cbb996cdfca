"""The DCGAN architecture without batch normalisation, with SELU (Klambauer et al. 2017)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

import gvr_bench.api as gvr

MIN_SIZE = 4  # the spatial size of the innermost map


def levels(size: int) -> int:
    """Return how often 4 x 4 is doubled to get `size`.

    Raises `UsageError` if `size` is not a power of two from 8 to 512.
    """
    doublings = round(math.log2(max(size, 1) / MIN_SIZE))
    if not 1 <= doublings <= 7 or MIN_SIZE * 2**doublings != size:
        raise gvr.UsageError(
            "the DCGAN architecture supports images of 8, 16, 32, 64, 128, 256 or 512 pixels, "
            f"not {size}; set the data set's size, e.g. --dataset phantom:size=32"
        )
    return doublings


def lecun_normal(net: nn.Module) -> None:
    """Initialise for self-normalising networks: variance 1 / fan-in, no bias."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if isinstance(layer, nn.ConvTranspose2d):  # each output sees in * (k / stride)^2 inputs
                fan_in = layer.in_channels * math.prod(layer.kernel_size) // math.prod(layer.stride)
            else:
                fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=fan_in**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Selu(nn.SELU):
    """SELU by `gvr.selu`."""

    def forward(self, x: Tensor) -> Tensor:
        return gvr.selu(x)


class Decoder(nn.Module):
    """Latent (N, D) -> image (N, C, H, W) in (-1, 1); `width` channels at half the image size."""

    def __init__(self, image: gvr.ImageSpec, latent_dim: int, width: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        n = levels(image.size)
        channels = [width * 2 ** (n - 1 - i) for i in range(n)]
        self.first = nn.Linear(latent_dim, channels[0] * MIN_SIZE**2)
        layers: list[nn.Module] = [Selu()]
        for wide, narrow in itertools.pairwise(channels):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), Selu()]
        layers += [nn.ConvTranspose2d(channels[-1], image.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        lecun_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z).unflatten(1, (-1, MIN_SIZE, MIN_SIZE))
        out: Tensor = self.layers(x.to(memory_format=torch.channels_last))
        return out


class Features(nn.Module):
    """Image (N, C, H, W) -> (N, `outputs`); the layers of `Decoder` in reverse."""

    def __init__(self, image: gvr.ImageSpec, outputs: int, width: int) -> None:
        super().__init__()
        n = levels(image.size)
        channels = [image.channels, *(width * 2**i for i in range(n))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(channels):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), Selu()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(channels[-1] * MIN_SIZE**2, outputs)
        lecun_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.layers(x).flatten(1))
        return out
