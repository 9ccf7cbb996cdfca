"""Convolutional networks whose latents keep their place in the image."""

from __future__ import annotations

import itertools
import math
from typing import Protocol

import torch
from torch import Tensor, nn

import gvr_bench.api as gvr

LARGEST_MEAN = 0.99  # of a colour at which tanh still has a slope


class SpatialSettings(Protocol):
    """What both networks need to know."""

    channels: int
    reduction: int
    width: int


def doublings(image: gvr.ImageSpec, reduction: int) -> int:
    """Return how often a map of latents is doubled to get the image.

    Raises `UsageError` where the size is no multiple of the reduction.
    """
    count = round(math.log2(reduction))
    if 2**count != reduction or image.size % reduction:
        raise gvr.UsageError(
            f"a spatial latent needs images whose size is a multiple of its reduction, a power of "
            f"two; {image.size} and {reduction} are not; set the data set's size, e.g. size=64, or "
            "the generator's reduction, e.g. vae:reduction=4"
        )
    return count


class SpatialDecoder(nn.Module):
    """Latent (N, D) -> image (N, C, H, W) in (-1, 1), by transposed convolutions with SiLU.

    D = `channels` * (H / `reduction`)^2: a flattened map. `inference` maps images to latents.
    """

    def __init__(self, image: gvr.ImageSpec, settings: SpatialSettings, inference: nn.Module):
        super().__init__()
        n, side = doublings(image, settings.reduction), image.size // settings.reduction
        self.latent_shape = (settings.channels, side, side)
        self.latent_dim = math.prod(self.latent_shape)
        widths = [settings.width * 2**i for i in reversed(range(n))]
        layers: list[nn.Module] = [nn.Conv2d(settings.channels, widths[0], 3, 1, 1), nn.SiLU()]
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.SiLU()]
        layers += [nn.ConvTranspose2d(widths[-1], image.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.inference = inference

    @torch.no_grad()
    def start_at_mean(self, images: Tensor) -> None:
        """Let the untrained decoder draw the mean colour of images (N, C, H, W).

        Where most pixels are black, the first steps of a training otherwise drive all of them
        there, and a saturated tanh has no slope to return by.
        """
        last = self.layers[-2]
        mean = images.mean((0, 2, 3)).clamp(-LARGEST_MEAN, LARGEST_MEAN)
        last.bias.copy_(mean.atanh())  # type: ignore[union-attr, operator]

    def forward(self, z: Tensor) -> Tensor:
        maps = z.unflatten(1, self.latent_shape).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.layers(maps)
        return out


class SpatialInference(nn.Module):
    """Image (N, C, H, W) -> latent (N, D), flattened; the layers of `SpatialDecoder` in reverse.

    `last` may add a layer on the map of latents. `mean_and_log_variance` has both of a posterior.
    """

    def __init__(
        self, image: gvr.ImageSpec, settings: SpatialSettings, last: nn.Module | None = None
    ) -> None:
        super().__init__()
        n = doublings(image, settings.reduction)
        widths = [image.channels, *(settings.width * 2**i for i in range(n))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.mean = nn.Conv2d(widths[-1], settings.channels, 3, 1, 1)
        self.log_variance = nn.Conv2d(widths[-1], settings.channels, 3, 1, 1)
        self.last = last or nn.Identity()

    def mean_and_log_variance(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both (N, D) of the posterior of each image."""
        maps = self.layers(x.contiguous(memory_format=torch.channels_last))
        mean, log_variance = self.mean(maps), self.log_variance(maps).float().clamp(-10, 10)
        return self.last(mean.float()).flatten(1), log_variance.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.mean(self.layers(x.contiguous(memory_format=torch.channels_last)))
        out: Tensor = self.last(maps)
        return out.flatten(1)
