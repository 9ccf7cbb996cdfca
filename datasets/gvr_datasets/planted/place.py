"""Where a finding may lie: in the user's masks, in what looks like lungs, or anywhere."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gvr_datasets.twins.twin import DoesNotFitError, Floats, Mask

# A frontal chest radiograph fills its picture: across, down and half axes of each lung, as shares
# of the width. Generous, for the threshold decides; its purpose is to leave out the air beside the
# body, the trachea and the stomach.
_LUNGS = ((0.31, 0.46), (0.69, 0.46))
_HALF_AXES = (0.17, 0.34)
_SMOOTH = 0.012  # of the width: ribs and noise do not cut a lung into pieces
_BRIDGE = 0.02  # of the width: narrower bridges, as to an armpit, are cut
_LEAST, _MOST = 0.03, 0.25  # of the picture: the area of one lung
_UNEVEN = 4.0  # times the area of one lung that the other may have
_BACKGROUND = 0.06  # darker than any body
_BODY = 0.6  # of the picture, at least


def guess_lungs(pixels: Floats) -> Mask:
    """Guess the lungs of a frontal chest radiograph (c, h, w) in [0, 1]: (h, w).

    They are what is darker than the median of the body, and darker than most within two ellipses
    (Otsu 1979): the largest piece of each side. Empty where there are no two pieces of plausible
    size.
    """
    from skimage.filters import threshold_otsu

    grey = pixels.mean(axis=0)
    h, w = grey.shape
    smooth = ndimage.gaussian_filter(grey, _SMOOTH * w)
    y, x = (np.mgrid[:h, :w] + 0.5) / w
    nothing = np.zeros((h, w), bool)
    body = smooth > _BACKGROUND
    sides = [
        body & (((x - across) / _HALF_AXES[0]) ** 2 + ((y - down) / _HALF_AXES[1]) ** 2 < 1)
        for across, down in _LUNGS
    ]
    prior = smooth[sides[0] | sides[1]]
    if body.mean() < _BODY or np.ptp(prior) == 0:
        return nothing
    limit = threshold_otsu(prior)  # type: ignore[no-untyped-call]
    dark = smooth < min(np.median(smooth[body]), limit)
    pieces = []
    for side in sides:
        apart = ndimage.distance_transform_edt(dark & side) > _BRIDGE * w
        pieces.append(grow(largest_piece(apart), _BRIDGE * w) & dark & side)
    small, large = sorted(float(piece.mean()) for piece in pieces)
    if small < _LEAST or large > min(_MOST, _UNEVEN * small):
        return nothing
    return np.asarray(ndimage.binary_fill_holes(pieces[0] | pieces[1]))


def grow(mask: Mask, radius: float) -> Mask:
    """A mask (h, w) with all pixels that are no further away than a radius in pixels."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius)


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask (h, w)."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def piece_at(mask: Mask, row: int, column: int) -> Mask:
    """The connected piece of a mask (h, w) that a pixel of it belongs to."""
    pieces, _ = ndimage.label(mask)
    return np.asarray(pieces == pieces[row, column])


def draw_centre(region: Mask, room: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel of a region (h, w), at least `room` pixels away from its border.

    Raises `DoesNotFitError`.
    """
    rows, columns = np.nonzero(depth(region) >= max(room, 1))
    if not len(rows):
        raise DoesNotFitError(f"its region is nowhere {2 * max(room, 1):.0f} pixels wide")
    draw = rng.integers(len(rows))
    return int(rows[draw]), int(columns[draw])


def depth(region: Mask) -> Floats:
    """Distance in pixels of each pixel of a region (h, w) to its border, or to the image's."""
    padded = np.pad(region, 1)
    return np.asarray(ndimage.distance_transform_edt(padded)[1:-1, 1:-1])
