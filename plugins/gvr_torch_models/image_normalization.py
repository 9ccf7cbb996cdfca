"""Size, channels, range and normalisation of the images that a network gets."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

import gvr_bench.api as gvr

from .settings import NetworkSettings, Several

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's "L"


def as_number(value: object) -> object:
    """Convert a number from the command line."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


class ImageSettings(NetworkSettings):
    """Images are resized, converted to the channels and range, then normalised."""

    size: int | None = Field(None, ge=1, description="edge in pixels; default: the data set's")
    channels: Annotated[Literal[1, 3] | None, BeforeValidator(as_number)] = Field(
        None, description="grey is repeated, colour becomes luminance"
    )
    low: float = Field(0.0, description="black, before normalisation")
    high: float = Field(1.0, description="white, before normalisation")
    mean: Annotated[tuple[float, ...], Several] = Field(
        (), description="subtracted, per channel, e.g. 0.485+0.456+0.406"
    )
    std: Annotated[tuple[float, ...], Several] = Field(
        (), description="divided by, per channel, e.g. 0.229+0.224+0.225"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.low == self.high:
            raise ValueError("low and high must differ")
        if 0 in self.std:
            raise ValueError("std must not hold 0")
        return self


class ImageNormalization(nn.Module):
    """Images (N, C, H, W) in [-1, 1] -> input of the network."""

    luminance: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, settings: ImageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.training = False  # never switches the network around it to train mode
        for name, values in (
            ("luminance", LUMINANCE),
            ("mean", settings.mean or (0.0,)),
            ("std", settings.std or (1.0,)),
        ):
            column = torch.tensor(values).view(-1, 1, 1)
            self.register_buffer(name, column, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Resize, match channels, map to the range and normalise. Raises `UsageError`."""
        s = self.settings
        if s.size and x.shape[-1] != s.size:
            x = F.interpolate(
                x, (s.size, s.size), mode="bilinear", antialias=True, align_corners=False
            )
        x = self.matched(x)
        x = s.low + (x + 1) / 2 * (s.high - s.low)
        for name, column in (("mean", self.mean), ("std", self.std)):
            if len(column) not in (1, x.shape[1]):
                raise gvr.UsageError(
                    f"torch-model: {name} has {len(column)} numbers for images of {x.shape[1]} "
                    f"channel{'s' if x.shape[1] > 1 else ''}; set channels={len(column)}"
                )
        return (x - self.mean) / self.std

    def matched(self, x: Tensor) -> Tensor:
        """Convert to the network's channels."""
        channels = self.settings.channels
        if channels == 3 and x.shape[1] == 1:
            return x.expand(-1, 3, -1, -1)
        if channels == 1 and x.shape[1] == 3:
            return (x * self.luminance).sum(1, keepdim=True)
        return x
