"""Changes of strokes, after Morpho-MNIST (Castro et al. 2019), on enlarged binary images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask

ENLARGED = 4  # times: strokes are a few pixels wide
INK = 0.5  # from this brightness on
THICKENING = (0.7, 1.0)  # of the stroke's width is added
THINNING = (0.55, 0.75)  # of the stroke's width is taken away
SWELLING_RADIUS = (2.0, 3.2)  # in widths of the stroke
SWELLING_LARGEST = 0.25  # widths of the image
SWELLING_POWER = (2.2, 3.0)  # of the distance to the centre
GAPS = (1, 2)
GAP_WIDTH = (0.55, 0.8)  # of the stroke's width
MARGIN = 1.0  # widths of the stroke between a gap and the end of a stroke


@dataclass(frozen=True)
class Strokes:
    """An enlarged digit (h, w), the middle of its strokes, and their mean width in pixels."""

    ink: Mask
    skeleton: Mask
    width: float


def read_strokes(grey: Floats) -> Strokes:
    """Find the strokes of a bright digit (h, w) in [0, 1] on black. Raises `DoesNotFitError`."""
    from skimage.morphology import skeletonize

    ink = ndimage.zoom(grey, ENLARGED, order=3, grid_mode=True, mode="nearest") > INK
    if not ink.any() or ink.all():
        raise DoesNotFitError("it has no bright strokes on a dark ground")
    skeleton = np.asarray(skeletonize(ink))  # type: ignore[no-untyped-call]
    depth = ndimage.distance_transform_edt(ink)
    return Strokes(ink, skeleton, 2 * float(depth[skeleton].mean()))


def shrink(ink: Mask) -> Floats:
    """Bring an enlarged digit (h, w) back to its size, as shares of ink in [0, 1]."""
    h, w = ink.shape
    blocks = ink.reshape(h // ENLARGED, ENLARGED, w // ENLARGED, ENLARGED)
    return np.asarray(blocks.mean(axis=(1, 3)))


def thicken(strokes: Strokes, rng: np.random.Generator) -> Mask:
    """Dilate all strokes by a disc."""
    radius = rng.uniform(*THICKENING) * strokes.width / 2
    return np.asarray(ndimage.distance_transform_edt(~strokes.ink) <= radius)


def thin(strokes: Strokes, rng: np.random.Generator) -> Mask:
    """Erode all strokes by a disc, but keep them in one piece."""
    radius = rng.uniform(*THINNING) * strokes.width / 2
    core = ndimage.distance_transform_edt(strokes.ink) > radius
    return np.asarray((core | ndimage.binary_dilation(strokes.skeleton)) & strokes.ink)


def swell(strokes: Strokes, rng: np.random.Generator) -> Mask:
    """Magnify the surroundings of a point in the middle of a stroke."""
    rows, columns = np.nonzero(strokes.skeleton)
    draw = rng.integers(len(rows))
    widest = SWELLING_LARGEST * strokes.ink.shape[1]
    radius = min(rng.uniform(*SWELLING_RADIUS) * strokes.width, widest)
    power = rng.uniform(*SWELLING_POWER)
    y, x = np.mgrid[: strokes.ink.shape[0], : strokes.ink.shape[1]].astype(float)
    dy, dx = y - rows[draw], x - columns[draw]
    r = np.hypot(dy, dx) / radius
    scale = np.where(r < 1, np.maximum(r, 1e-6) ** (power - 1), 1.0)  # where a pixel comes from
    at = np.stack([rows[draw] + dy * scale, columns[draw] + dx * scale])
    return np.asarray(ndimage.map_coordinates(strokes.ink.astype(float), at, order=1) > INK)


def fracture(strokes: Strokes, rng: np.random.Generator) -> Mask:
    """Cut strokes across, away from their ends and forks. Raises `DoesNotFitError`."""
    neighbours = ndimage.convolve(strokes.skeleton.astype(int), np.ones((3, 3), int)) - 1
    special = strokes.skeleton & (neighbours != 2)  # ends have one neighbour, forks three
    middle = strokes.skeleton.copy()
    if special.any():
        middle &= ndimage.distance_transform_edt(~special) > MARGIN * strokes.width
    if not middle.any():
        raise DoesNotFitError("its strokes are too short to be cut")
    ink = strokes.ink.copy()
    for _ in range(int(rng.integers(GAPS[0], GAPS[1] + 1))):
        rows, columns = np.nonzero(middle)
        if not len(rows):
            break
        draw = rng.integers(len(rows))
        gap = rng.uniform(*GAP_WIDTH) * strokes.width
        ink &= ~_cut(strokes, rows[draw], columns[draw], gap)
        y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
        middle &= np.hypot(y - rows[draw], x - columns[draw]) > 3 * strokes.width
    return ink


def _cut(strokes: Strokes, row: int, column: int, gap: float) -> Mask:
    """A bar (h, w) across the stroke at a point of its middle, `gap` pixels wide."""
    rows, columns = np.nonzero(strokes.skeleton)
    near = np.hypot(rows - row, columns - column) <= strokes.width
    points = np.stack([rows[near] - row, columns[near] - column], axis=1).astype(float)
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    along_row, along_column = axes[0]
    y, x = np.mgrid[: strokes.ink.shape[0], : strokes.ink.shape[1]]
    along = (y - row) * along_row + (x - column) * along_column
    across = (y - row) * along_column - (x - column) * along_row
    return np.asarray((np.abs(along) <= gap / 2) & (np.abs(across) <= 0.9 * strokes.width))


CHANGES = {"thickening": thicken, "thinning": thin, "swelling": swell, "fracture": fracture}
