"""A patch of another image, blended in seamlessly (Perez, Gangnet and Blake 2003)."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from gvr_datasets.planted.outlines import draw_radius, lobes, polar
from gvr_datasets.planted.place import depth, draw_centre
from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask

RADIUS = (0.10, 0.16)  # of the patch, in widths of the image
VISIBLE = 0.02  # least change that a patch makes somewhere, of the range from black to white
TRIES = 8
MASK = 0.15  # of the largest change


def foreign_opacity(
    pixels: Floats, other: Floats, region: Mask, largest: float, rng: np.random.Generator
) -> tuple[Floats, Mask]:
    """Blend a patch of another image (c, h, w) into one, at another place.

    Returns the change (c, h, w), of which `largest` is the greatest, and the pixels that it changes
    visibly. Raises `DoesNotFitError` where patches of several places change nothing.
    """
    _, h, w = pixels.shape
    for _ in range(TRIES):
        radius = draw_radius(region, RADIUS, rng)
        inside = depth(np.ones((h, w), bool)) > 1.4 * radius + 1  # its lobes stay off the border
        row, column = draw_centre(region & inside, 0, rng)
        from_row, from_column = draw_centre(inside, 0, rng)
        r, angle = polar((row, column), h, w)
        patch = (r < radius * np.clip(lobes(angle, rng), 0.6, 1.4)) & (r < 1.4 * radius)
        moved = np.roll(other, (row - from_row, column - from_column), axis=(1, 2))
        change = mixed_seamless(pixels, moved, patch)
        size = np.abs(change).max()
        if size >= VISIBLE:
            change = np.clip(pixels + change * (largest / size), 0, 1) - pixels
            visible = np.abs(change).max(axis=0)
            return change, np.asarray(visible > MASK * visible.max())
    raise DoesNotFitError(f"{TRIES} patches of another image changed nothing in it")


def mixed_seamless(pixels: Floats, other: Floats, patch: Mask) -> Floats:
    """Change (c, h, w) that gives a patch (h, w) the stronger gradient of two images (c, h, w).

    Outside the patch nothing changes; the patch may not touch the border of the image.
    """
    unknown = np.flatnonzero(patch)
    number = np.full(patch.size, -1)
    number[unknown] = np.arange(len(unknown))
    steps = (1, -1, patch.shape[1], -patch.shape[1])
    own, foreign = pixels.reshape(len(pixels), -1), other.reshape(len(other), -1)
    excess = np.zeros((len(unknown), len(pixels)))  # of the wanted gradient over the image's
    rows, columns = [np.arange(len(unknown))], [np.arange(len(unknown))]
    for step in steps:
        ours = own[:, unknown] - own[:, unknown + step]
        theirs = foreign[:, unknown] - foreign[:, unknown + step]
        excess += np.where(np.abs(theirs) > np.abs(ours), theirs - ours, 0.0).T
        inside = number[unknown + step] >= 0
        rows.append(np.flatnonzero(inside))
        columns.append(number[unknown + step][inside])
    values = np.concatenate([np.full(len(unknown), 4.0), np.full(sum(map(len, rows[1:])), -1.0)])
    where = (np.concatenate(rows), np.concatenate(columns))
    laplace = sparse.csc_matrix((values, where), shape=(len(unknown), len(unknown)))
    change = np.zeros_like(own)
    change[:, unknown] = splu(laplace).solve(excess).T
    return np.asarray(change.reshape(pixels.shape))
