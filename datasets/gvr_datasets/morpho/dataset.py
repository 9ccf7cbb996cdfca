"""The data set `morpho`: digits of another data set, half of them with changed strokes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.morpho.strokes import CHANGES, read_strokes, shrink
from gvr_datasets.twins.dataset import Twins, TwinSettings
from gvr_datasets.twins.selection import ALL
from gvr_datasets.twins.twin import DoesNotFitError, Floats, Source, Twin

MASK = 0.15  # of the range from black to white, as for planted findings
SMALLEST = 16  # pixels: narrower strokes cannot be changed


class Morpho(Twins):
    """Digits, half of them with thicker, thinner, swollen or fractured strokes.

    `morpho:mnist,change=fracture` or `morpho:digits`, after Morpho-MNIST (Castro et al. 2019).
    All images pass through one pipeline (enlarged four times, made binary, brought back), so that
    twins differ in nothing else.
    """

    class Settings(TwinSettings):
        """Which change; by default it is made to digits of all classes, `label=all`."""

        change: Literal["thickening", "thinning", "swelling", "fracture"] = "swelling"
        label: str = Field(default=ALL, coerce_numbers_to_str=True)
        copies: int = Field(default=1, ge=1, le=100)

    settings: Settings

    @property
    def finding(self) -> str:
        """The change."""
        return self.settings.change

    @property
    def image(self) -> gvr.ImageSpec:
        """Shape of the digits. Raises `UsageError` where strokes cannot be changed."""
        image = self.base.image
        if image.channels != 1 or image.size < SMALLEST:
            raise gvr.UsageError(
                f"morpho changes strokes of grey images of at least {SMALLEST} px, and "
                f"'{self.settings.dataset}' has {image}; type morpho:digits,base.size=32"
            )
        return image

    def twin(self, source: Source) -> Twin:
        """Change the strokes. Raises `DoesNotFitError`."""
        strokes = read_strokes(source.pixels[0])
        change = CHANGES[self.settings.change]
        plain = shrink(strokes.ink)
        changed = shrink(change(strokes, self.rng("change", source.name)))
        mask = np.abs(changed - plain) > MASK
        if not mask.any():
            raise DoesNotFitError("the change cannot be seen at this size")
        return Twin(_channel(plain), _channel(changed), mask)


def _channel(grey: Floats) -> Floats:
    return grey[None]
