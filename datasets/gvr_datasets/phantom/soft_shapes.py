"""Soft-edged shapes on the picture plane; half the picture's width is 1, y points down."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gvr_datasets.phantom.counter_rng import Floats
from gvr_datasets.phantom.patients import Study

SIDES = (-1, 1)  # the patient's right is on the left of the picture


@dataclass(frozen=True)
class Grid:
    """Where each pixel lies in the patient, for n images of `size`.

    `row` (n, h, 1) and `column` (n, 1, w) ignore the tilt, which is small; `x` and `y` (n, h, w)
    have it. `soft` (n, 1, 1) is the half-width of the sharpest edge: blur or half a pixel.
    """

    row: Floats
    column: Floats
    x: Floats
    y: Floats
    soft: Floats

    def rows(self, rows: NDArray[np.int64]) -> Self:
        """The grid of some of the images."""
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))


def pixel_centres(size: int) -> Floats:
    """Where pixels lie on a side of the picture, from -1 to 1: (size,)."""
    return ((2 * np.arange(size, dtype=np.float32) + 1) / size - 1).astype(np.float32)


def make_grid(study: Study, size: int) -> Grid:
    """The grid of each image, from its pose and blur."""
    pose = study.pose
    line = pixel_centres(size)
    column = (line[None, None, :] - pose["shift_x"]) / pose["zoom"]
    row = (line[None, :, None] - pose["shift_y"]) / pose["zoom"]
    x = column - pose["tilt"] * row
    y = row + pose["tilt"] * column
    soft = np.hypot(study.exposure["blur"], np.float32(1.0 / size))
    return Grid(row, column, x, y, soft)


def step(distance: Floats, soft: Floats | float) -> Floats:
    """0 outside, 1 inside, smooth from -`soft` to `soft`: `distance` is positive inside."""
    t = distance * (0.5 / soft)
    t += 0.5
    np.clip(t, 0.0, 1.0, out=t)
    return t * t * (3.0 - 2.0 * t)


def bell(distance: Floats, width: Floats | float) -> Floats:
    """1 at distance 0, falling smoothly to 0 at `width` on both sides: (1 - (d/w)^2)^2."""
    t = distance * (1.0 / width)
    t *= t
    np.subtract(1.0, t, out=t)
    np.maximum(t, 0.0, out=t)
    t *= t
    return t


def gauss(distance: Floats, deviation: Floats | float) -> Floats:
    """A bell of Gauss with height 1."""
    return np.asarray(np.exp(-0.5 * (distance / deviation) ** 2))


def smooth_max(a: Floats, b: Floats, round_by: float) -> Floats:
    """The larger of two, with the corner rounded."""
    return 0.5 * (a + b + np.sqrt((a - b) ** 2 + round_by**2))


def blobs(
    row: Floats, column: Floats, x: Floats, y: Floats, wide: Floats, high: Floats, weight: Floats
) -> Floats:
    """Sum of upright Gaussian blobs: rows (n, h, 1), columns (n, 1, w), the rest (n, k).

    Each blob is a product of a row and a column, so that the sum is one matrix product.
    """
    down = row - y[:, None, :]  # (n, h, k)
    across = column.transpose(0, 2, 1) - x[:, None, :]  # (n, w, k)
    down *= np.float32(0.7071) / high[:, None, :]
    across *= np.float32(0.7071) / wide[:, None, :]
    for part in (down, across):
        part *= part
        np.negative(part, out=part)
        # Products of vanishing numbers would be denormal, which is slow.
        np.maximum(part, -30.0, out=part)
        np.exp(part, out=part)
    down *= weight[:, None, :]
    return np.asarray(np.matmul(down, across.transpose(0, 2, 1)))
