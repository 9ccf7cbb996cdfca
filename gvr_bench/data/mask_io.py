"""Masks of findings: which pixels of a picture a file marks, whatever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gvr_bench.core.errors import DataError
from gvr_bench.core.types import Bools
from gvr_bench.data.image_io import open_image, place, read_extent

if TYPE_CHECKING:
    pass

_COMPRESSION, _PHOTOMETRIC = 259, 262  # tags of a TIFF
_FAX = {2, 3, 4}  # compressions whose writers turn 1 to black on their own
_WHITE_IS_ZERO = 0


def read_mask(path: Path, picture: Path, size: int) -> Bools:
    """Read a PNG or TIFF that marks a finding: (size, size), letterboxed like its picture.

    What is opaque and not black is marked, or, in a layer that is black alone, what is opaque. Of
    a palette without black, or of black alone, the first colour is the background. Raises
    `DataError` if the mask differs in shape from the picture.
    """
    with open_image(path) as image:
        if image.format not in ("PNG", "TIFF"):
            raise ValueError("a mask must be a PNG or TIFF, which keep its values")
        marked = _marked(image)
    h, w = marked.shape
    width, height = read_extent(picture)
    if place(w, h, size) != place(width, height, size):
        raise DataError(
            f"the mask {path} has {w} x {h} pixels and its image {picture.name} {width} x "
            f"{height}; draw it on the image itself, as a viewer shows it"
        )
    return letterbox_mask(marked, width, height, size)


def letterbox_mask(marked: Bools, width: int, height: int, size: int) -> Bools:
    """Bring a mask (h, w) to where its picture of `width` x `height` lies: (size, size).

    A pixel is marked if its centre is; of a finding too small for that, the pixel that it covers
    most.
    """
    at = place(width, height, size)
    square = np.zeros((size, size), dtype=np.bool_)
    rows, columns = slice(at.top, at.top + at.height), slice(at.left, at.left + at.width)
    square[rows, columns] = _shrink(marked, at.width, at.height)
    return square


def _marked(image: Any) -> Bools:
    """Which pixels (h, w) are marked; palettes come in any order, so that their colours count."""
    if image.has_transparency_data and not image.mode.startswith("I"):
        rgba = np.asarray(image.convert("RGBA"))
        opaque = rgba[:, :, 3] > 0
        bright = opaque & rgba[:, :, :3].any(axis=2)
        ink = not bright.any() and not opaque.all()
        return np.asarray(opaque if ink else bright)
    values = np.asarray(image)
    if image.mode == "P":
        colours = np.asarray(image.convert("RGB")).any(axis=2)
        return np.asarray(colours if 0 < colours.sum() < colours.size else values != 0)
    marked = values != 0 if values.ndim == 2 else values.any(axis=2)
    tags = getattr(image, "tag_v2", {})
    # Programs write Boolean arrays as TIFFs of one bit in which true is black.
    white_is_zero = image.mode == "1" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    inverted = white_is_zero and tags.get(_COMPRESSION) not in _FAX
    return np.asarray(marked != inverted)


def _shrink(marked: Bools, width: int, height: int) -> Bools:
    from PIL import Image

    at = (width, height)
    small = np.asarray(Image.fromarray(marked).resize(at, Image.Resampling.NEAREST))
    if small.any() or not marked.any():
        return small
    share = Image.fromarray(marked.astype(np.float32)).resize(at, Image.Resampling.BOX)
    covered = np.asarray(share)
    return np.asarray(covered == covered.max())
