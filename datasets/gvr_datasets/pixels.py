"""Pixels of any file brought to the size and range that is asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Placement:
    """Where a letterboxed picture lies in its square: pixels from the left and top, and edges."""

    left: int
    top: int
    width: int
    height: int


def place(width: int, height: int, size: int) -> Placement:
    """Centre a picture of `width` x `height` in a square of `size`, keeping its aspect ratio."""
    longest = max(width, height)
    w, h = (max(1, round(edge * size / longest)) for edge in (width, height))
    return Placement((size - w) // 2, (size - h) // 2, w, h)


def letterbox(grey: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resample a grey image (h, w) into a black square (size, size), antialiased."""
    h, w = grey.shape
    at = place(w, h, size)
    square = np.zeros((size, size), dtype=np.uint8)
    rows, columns = slice(at.top, at.top + at.height), slice(at.left, at.left + at.width)
    square[rows, columns] = _resample(grey, at.width, at.height)
    return square


def resize(stack: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resample grey images (n, h, w) to (n, size, size), antialiased."""
    n, _, _ = stack.shape
    out = np.empty((n, size, size), dtype=np.uint8)
    for position, grey in enumerate(stack):
        out[position] = _resample(grey, size, size)
    return out


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read an image file of any common mode as one grey channel (h, w), 0..255.

    16-bit files are scaled by their full range; transparency is ignored. Raises `DataError`
    naming the file.
    """
    with _opened(path) as image:
        return _grey(image)


def read_squares(files: Sequence[Path], size: int) -> NDArray[np.uint8]:
    """Read image files, letterboxed, as (n, 1, size, size). Raises `DataError` naming the file."""
    out = np.empty((len(files), 1, size, size), dtype=np.uint8)

    def read(position: int) -> None:
        out[position, 0] = letterbox(read_grey(files[position]), size)

    # Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, range(len(files))):
            pass
    return out


def read_extent(path: Path) -> tuple[int, int]:
    """Width and height of an image file, from its header. Raises `DataError` naming the file."""
    with _opened(path) as image:
        return image.size


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    # A broken file makes Pillow raise OSError, ValueError, SyntaxError, IndexError and others.
    except Exception as error:
        raise gvr.DataError(f"cannot read the image {path}: {error}; replace the file") from error


def _grey(image: Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        # Rounding to 65535 / 255 = 257 makes a 16-bit copy of an 8-bit image equal to it.
        wide = np.asarray(image, dtype=np.int64)
        return np.clip((wide + 128) // 257, 0, 255).astype(np.uint8)
    return np.array(image.convert("L"), dtype=np.uint8)


def _resample(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image

    h, w = grey.shape
    if (w, h) == (width, height):
        return grey
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC))
