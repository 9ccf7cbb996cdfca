"""Shortcuts: marks that go along with the label and do not cause it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gvr_datasets.twins.twin import Floats

TagName = Literal["none", "letter", "line", "disc", "gradient"]
_LETTERS = "LRP"
STRENGTH = {"letter": 0.85, "line": 0.45, "disc": 0.7, "gradient": 0.25}


def draw_tag(name: TagName, size: int, rng: np.random.Generator) -> Floats:
    """Draw a tag near the border of an image: (size, size), how far each pixel turns white."""
    draw = {"letter": _letter, "line": _line, "disc": _disc, "gradient": _gradient}[name]
    return STRENGTH[name] * draw(size, rng)


def _letter(size: int, rng: np.random.Generator) -> Floats:
    """A letter like those that mark the side of a radiograph."""
    from PIL import Image, ImageDraw, ImageFont

    letter = _LETTERS[int(rng.integers(len(_LETTERS)))]
    picture = Image.new("L", (size, size))
    row, column = rng.uniform(0.03, 0.07, 2) * size
    font = ImageFont.load_default(size=max(8, 0.12 * size))
    ImageDraw.Draw(picture).text((column, row), letter, fill=255, font=font)
    return np.asarray(picture) / 255.0


def _line(size: int, rng: np.random.Generator) -> Floats:
    """A thin curved line, like a lead or a tube, down one side."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    at, bend, phase = rng.uniform(0.06, 0.16), rng.uniform(0.01, 0.04), rng.uniform(0, 6.3)
    off = x - at - bend * np.sin(3.5 * y + phase)
    return np.asarray(np.exp(-0.5 * (off / max(0.006, 0.5 / size)) ** 2))


def _disc(size: int, rng: np.random.Generator) -> Floats:
    """A round spot with a sharp border, like an electrode."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    row, column = rng.uniform(0.08, 0.16, 2)
    off = 0.035 - np.hypot(y - row, x - column)
    return np.asarray(np.clip(0.5 + off * size, 0, 1))


def _gradient(size: int, rng: np.random.Generator) -> Floats:
    """A side that is brighter, as from scatter or a tilted grid."""
    x = (np.mgrid[:size, :size][1] + 0.5) / size
    return np.asarray(np.clip(1 - x / rng.uniform(0.3, 0.4), 0, 1))
