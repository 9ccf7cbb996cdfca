"""Pixels of any file brought to the size and range that is asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gvr_bench.errors import DataError
from gvr_bench.types import ImageSpec

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG")  # others of Pillow's are too many to trust, and one runs programs
MOST_PIXELS = 2**26  # of one image; the largest detectors make half as many


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


def letterbox(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resample a picture (c, h, w) into a black square (c, size, size), antialiased."""
    c, h, w = picture.shape
    at = place(w, h, size)
    square = np.zeros((c, size, size), dtype=np.uint8)
    rows, columns = slice(at.top, at.top + at.height), slice(at.left, at.left + at.width)
    for channel, plane in zip(square, picture, strict=True):
        channel[rows, columns] = _resample(plane, at.width, at.height)
    return square


def resize(stack: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resample grey images (n, h, w) to (n, size, size), antialiased."""
    n, _, _ = stack.shape
    out = np.empty((n, size, size), dtype=np.uint8)
    for position, grey in enumerate(stack):
        out[position] = _resample(grey, size, size)
    return out


def read_picture(path: Path, channels: int) -> NDArray[np.uint8]:
    """Read a PNG or JPEG of any mode as (channels, h, w), 0..255, whatever it is called.

    One channel is grey, three are red, green and blue. 16-bit files are scaled by their full
    range; transparency is ignored. Raises `DataError` naming the file.
    """
    with _opened(path) as image:
        return _planes(image, channels)


def read_pictures(files: Sequence[Path], image: ImageSpec) -> NDArray[np.uint8]:
    """Read image files, letterboxed, as (n, C, size, size).

    Raises `DataError` naming the first that cannot be read, with all of them as `unreadable`.
    """
    out = np.empty((len(files), image.channels, image.size, image.size), dtype=np.uint8)

    def read(position: int) -> str:
        try:
            out[position] = letterbox(read_picture(files[position], image.channels), image.size)
        except DataError as error:
            return error.unreadable[0]
        return ""

    # Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        reasons = list(pool.map(read, range(len(files))))
    unreadable = {position: reason for position, reason in enumerate(reasons) if reason}
    for position, reason in unreadable.items():
        raise _fault(files[position], reason, unreadable)
    return out


def read_extent(path: Path) -> tuple[int, int]:
    """Width and height of an image file, from its header. Raises `DataError` naming the file."""
    with _opened(path) as image:
        return image.size


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            _check(image)
            yield image
    except UnidentifiedImageError as error:
        raise _fault(path, "it is neither a PNG nor a JPEG, or ends in its first bytes") from error
    # A broken file makes Pillow raise OSError, ValueError, SyntaxError, IndexError and others.
    except Exception as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise _fault(path, said or type(error).__name__) from error


def _fault(path: Path, reason: str, unreadable: Mapping[int, str] | None = None) -> DataError:
    return DataError(
        f"cannot read the image {path}: {reason}; replace the file", unreadable or {0: reason}
    )


def _check(image: Image) -> None:
    """Refuse, from the header alone, what would take the machine's memory or is no one picture."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"it says it has {width:,} x {height:,} pixels, too many")
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise ValueError("it is animated, and one picture is expected")


def _planes(image: Image, channels: int) -> NDArray[np.uint8]:
    """Return the picture as (channels, h, w)."""
    if image.mode.startswith("I"):
        # Rounding to 65535 / 255 = 257 makes a 16-bit copy of an 8-bit image equal to it.
        wide = np.asarray(image).clip(0, 65535 - 128).astype(np.uint16)
        wide += 128
        wide //= 257
        return np.repeat(wide.astype(np.uint8)[None], channels, axis=0)
    if channels == 1:
        return np.array(image.convert("L"), dtype=np.uint8)[None]
    return np.array(image.convert("RGB"), dtype=np.uint8).transpose(2, 0, 1)


def _resample(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image

    h, w = grey.shape
    if (w, h) == (width, height):
        return grey
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC))
