"""Convolutional heads: on a map of latents, and on the image itself."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .fitting import Standardise
from .robust import RobustHead, RobustSettings

LARGEST = 64  # pixels that images have behind `Shrink`, by the nearest whole factor


class ConvSettings(RobustSettings):
    """Settings of adversarial training, chosen on validation images of the phantom's findings."""

    steps: int = Field(6000, ge=1)
    batch: int = Field(128, ge=1)
    width: int = Field(48, ge=1, description="channels of the first layer")
    passes: int = Field(2, ge=1, description="gradient steps within the radius")
    ramp: float = Field(0.5, ge=0, le=1, description="share of the training in which it grows")
    clean: float = Field(0.4, ge=0, le=1, description="share of the loss for inputs as they are")


class ConvBlock(nn.Module):
    """x + two 3 x 3 convolutions of SiLU(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return out


class Pool(nn.Module):
    """Mean and maximum of each map: (N, C, H, W) -> (N, 2 C)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


class Conv(RobustHead):
    """A convolutional network on a spatial latent, with adversarial training.

    Needs a generator whose latent is a flattened map, `vae` or `ae`.
    """

    mixed_precision = True
    profiles = {"quick": {"steps": 3000}}
    small_data = {"epochs": 25}
    newer = frozenset(small_data)

    class Settings(ConvSettings):
        """`channels` are those of the generator's latent."""

        channels: int = Field(8, ge=1, description="numbers per place of the map of latents")
        noise: float = Field(0.2, ge=0, description="standard deviation added to latents")
        epochs: int | None = Field(
            None,
            ge=1,
            description="passes over the latents, at most; 25 in quick for your own data",
        )

    settings: Settings

    def steps(self, images: int) -> int:
        """Return the number of steps: few images are learned in few."""
        s = self.settings
        return gvr.steps_within(s.epochs, s.steps, batch=s.batch, images=images)

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network. Raises `UsageError` where the latent is no square map."""
        channels, width = self.settings.channels, self.settings.width
        side = math.isqrt(latent_dim // channels)
        if latent_dim != channels * side**2:
            raise gvr.UsageError(
                f"head 'conv' needs a spatial latent, a square map of {channels} channels, and "
                f"the generator's has {latent_dim} numbers; use --generator vae, or another head"
            )
        return nn.Sequential(
            Standardise(1),  # by one number: a channel that is hardly used stays small
            nn.Unflatten(1, (channels, side, side)),
            nn.Conv2d(channels, width, 3, 1, 1),
            nn.SiLU(),
            ConvBlock(width),
            ConvBlock(width),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, 1, 1),
            nn.SiLU(),
            Pool(),
            nn.Linear(4 * width, len(task.outputs)),
        )

    def augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Add noise to latents."""
        return x + self.settings.noise * torch.randn(x.shape, generator=rng).to(x.device)


class Shrink(nn.Module):
    """Average images that are larger, to about `LARGEST` pixels: (N, C, H, W) -> (N, C, h, w).

    Findings of more pixels are not learned in as many steps, which are slower, too.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, max(1, round(x.shape[-1] / LARGEST)))


def halving(channels: int, wider: int) -> tuple[nn.Module, ...]:
    """Layers that halve maps: (N, channels, H, W) -> (N, wider, H / 2, W / 2).

    The maximum keeps what is small and faint, which the mean of a stride does not; it comes before
    the normalisation, which then has a quarter to do.
    """
    return (
        nn.Conv2d(channels, wider, 3, 1, 1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(wider),
        nn.ReLU(),
    )


class Cnn(RobustHead):
    """A convolutional network on the image itself, with adversarial training.

    It is explained as it is: attribution maps look at the image, and counterfactuals are pictures.
    Without its batch normalisation (Ioffe and Szegedy 2015) differences between images shrink to a
    thousandth on their way through the layers, and small findings are never learned.
    """

    sees = "images"
    mixed_precision = True
    profiles = {"quick": {"steps": 400}}
    version = "4"

    class Settings(ConvSettings):
        """Training of the network; `shift` moves training images."""

        steps: int = Field(800, ge=1)
        batch: int = Field(64, ge=2)
        checks: int = Field(20, ge=1, description="evaluations of the validation loss")
        channels: int = Field(1, ge=1, description="of the images: 3 for colour")
        width: int = Field(24, ge=1, description="channels at half the image size")
        radius: float = Field(
            0.01, ge=0, description="relative to the root mean square distance from the mean image"
        )
        passes: int = Field(1, ge=1, description="gradient steps within the radius")
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network, for images of at least 8 pixels."""
        w = self.settings.width
        return nn.Sequential(
            Standardise(self.settings.channels, 1, 1),
            Shrink(),
            *halving(self.settings.channels, w),
            *halving(w, 2 * w),
            *halving(2 * w, 4 * w),
            nn.Conv2d(4 * w, 4 * w, 3, 1, 1, bias=False),
            nn.BatchNorm2d(4 * w),
            nn.ReLU(),
            Pool(),
            nn.Linear(8 * w, len(task.outputs)),
        )

    def augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Move the images."""
        return gvr.translate(x, round(self.settings.shift * x.shape[-1]), rng)
