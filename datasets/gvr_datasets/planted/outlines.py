"""Shapes of findings: how strong each is at each pixel, from 0 to about 1."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gvr_datasets.planted.place import draw_centre, largest_piece, piece_at
from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask

RADIUS = (0.04, 0.065)  # of a nodule, in widths of the image
ROUND_RADIUS = (0.06, 0.09)  # of one whose outline is the label: its spicules must be seen
LOBE_RADIUS = (0.13, 0.20)  # of a consolidation
ROOM = 0.8  # of a radius, between its centre and the border of the region
SPICULES = (9, 15)


def polar(centre: tuple[int, int], h: int, w: int) -> tuple[Floats, Floats]:
    """Distance in pixels and angle of each pixel (h, w) from a pixel."""
    y, x = np.mgrid[:h, :w]
    dy, dx = y - centre[0], x - centre[1]
    return np.hypot(dy, dx), np.arctan2(dy, dx)


def texture(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Floats:
    """Smooth noise (h, w) with mean 0 and standard deviation 1; `scale` in pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), max(scale, 0.5), mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def draw_radius(region: Mask, extent: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw a radius in pixels, between two shares of the width of the region's image."""
    return float(rng.uniform(*extent) * region.shape[1])


def nodule(region: Mask, rng: np.random.Generator) -> Floats:
    """A round opacity with a slightly lobulated outline and soft edges: (h, w).

    Raises `DoesNotFitError`.
    """
    radius = draw_radius(region, RADIUS, rng)
    centre = draw_centre(region, ROOM * radius, rng)
    r, angle = polar(centre, *region.shape)
    profile = np.clip(1 - (r / (radius * lobes(angle, rng))) ** 2, 0, None) ** 1.5
    return profile * np.clip(1 + 0.15 * texture(region.shape, radius / 3, rng), 0, None)


def lobes(angle: Floats, rng: np.random.Generator) -> Floats:
    """The outline of a nodule as a multiple of its radius, by angle."""
    outline = np.ones_like(angle)
    for k in range(2, 5):
        outline += rng.normal(0, 0.10 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return outline


def round_pair(region: Mask, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A smooth and a spiculated opacity (h, w) at one place, with the same sum over the pixels.

    Raises `DoesNotFitError`.
    """
    radius = draw_radius(region, ROUND_RADIUS, rng)
    centre = draw_centre(region, ROOM * radius, rng)
    r, angle = polar(centre, *region.shape)
    grain = np.clip(1 + 0.15 * texture(region.shape, radius / 3, rng), 0, None)
    outline = lobes(angle, rng)
    smooth = np.clip(1 - (r / (radius * outline)) ** 2, 0, None) ** 0.8 * grain
    core = np.clip(1 - (r / (0.8 * radius * outline * corona(angle, rng))) ** 2, 0, None) ** 0.8
    spiculated = np.maximum(core, 0.6 * spicules(r / radius, angle, rng)) * grain
    return smooth, spiculated * (smooth.sum() / spiculated.sum())


def corona(angle: Floats, rng: np.random.Generator) -> Floats:
    """An irregular outline as a multiple of a radius, by angle."""
    outline = np.ones_like(angle)
    for k in range(5, 13):
        outline += rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(outline, 0.6, 1.4))


def spicules(r: Floats, angle: Floats, rng: np.random.Generator) -> Floats:
    """Fine strands (h, w) that leave a centre in all directions; `r` in radii."""
    count = int(rng.integers(SPICULES[0], SPICULES[1] + 1))
    strands = np.zeros_like(r)
    for turn in range(count):
        towards = 2 * np.pi * (turn + rng.uniform(-0.45, 0.45)) / count
        length, width, bend = rng.uniform(1.1, 2.1), rng.uniform(0.05, 0.10), rng.normal(0, 0.25)
        turned = angle - towards - bend * r
        along, across = r * np.cos(turned), r * np.sin(turned)
        taper = np.clip(1 - along / length, 0, 1)
        strand = np.exp(-0.5 * (across / width) ** 2) * taper**0.7 * (along > 0)
        strands = np.maximum(strands, rng.uniform(0.5, 1.0) * strand)
    return strands


def consolidation(region: Mask, rng: np.random.Generator) -> Floats:
    """A patchy opacity as large as a lobe, within one lung: (h, w). Raises `DoesNotFitError`."""
    h, w = region.shape
    radius = draw_radius(region, LOBE_RADIUS, rng)
    row, column = draw_centre(region, 0.35 * radius, rng)
    lung = ndimage.gaussian_filter(piece_at(region, row, column).astype(float), 0.012 * w)
    tilt, aspect = rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    y, x = np.mgrid[:h, :w]
    along = np.cos(tilt) * (x - column) + np.sin(tilt) * (y - row)
    across = (np.cos(tilt) * (y - row) - np.sin(tilt) * (x - column)) / aspect
    r = np.hypot(along, across) / radius * (1 + 0.18 * texture((h, w), 0.06 * w, rng))
    blob = np.clip(1 - r**2, 0, None) ** 0.8
    patches = 0.16 * texture((h, w), 0.03 * w, rng) + 0.10 * texture((h, w), 0.01 * w, rng)
    return np.asarray(lung * blob * np.clip(1 + patches, 0, None))


def effusion(region: Mask, rng: np.random.Generator) -> Floats:
    """Fluid at the base of one lung, below a meniscus that rises to the chest wall: (h, w).

    Raises `DoesNotFitError` where the region is no pair of lungs.
    """
    h, w = region.shape
    y, x = np.mgrid[:h, :w] + 0.5
    left = bool(rng.integers(2))
    lung = largest_piece(region & ((x < w / 2) == left))
    rows, columns = np.nonzero(lung)
    if len(rows) < 0.02 * h * w or lung.mean() > 0.3:
        raise DoesNotFitError("its region has no lung on that side")
    top, base = np.quantile(rows, (0.02, 0.99))
    inner, outer = np.quantile(columns, (0.02, 0.98))[:: -1 if left else 1]
    lateral = np.clip((x - inner) / (outer - inner), 0, 1.2)  # 0 at the heart, 1 at the wall
    height = rng.uniform(0.15, 0.42) * (base - top)
    level = base - height * (0.55 + 0.75 * lateral ** rng.uniform(2.0, 3.5))
    depth = y - level
    soft = max(0.02 * w, 1.0)
    fluid = 1 / (1 + np.exp(-depth / soft)) * (1 - 0.25 * np.exp(-np.clip(depth, 0, None) / height))
    inside = ndimage.gaussian_filter(lung.astype(float), 0.01 * w)
    return np.asarray(inside * fluid * (1 + 0.04 * texture((h, w), 0.02 * w, rng)))
