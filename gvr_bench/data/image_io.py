"""Image files and arrays brought to one size and range."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.errors import DataError
from gvr_bench.core.types import Bytes, ImageSpec
from gvr_bench.data.dicom import MissingDecoderError, is_dicom, read_dicom

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow knows many more, too many to trust: its EPS reader starts Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_PIXELS = 2**26  # of one image; twice those of the largest detectors
_BITS, _PHOTOMETRIC, _NUMBERS = 258, 262, 339  # tags of a TIFF
_ORIENTATION = 274  # tag of EXIF
_FIRST_ON_ITS_SIDE = 5  # of the orientations


@dataclass(frozen=True)
class Placement:
    """Where a letterboxed picture lies in its square, in pixels."""

    left: int
    top: int
    width: int
    height: int


def place(width: int, height: int, size: int) -> Placement:
    """Centre a picture of `width` x `height` in a square of `size`, keeping its aspect ratio."""
    longest = max(width, height)
    w, h = (max(1, round(edge * size / longest)) for edge in (width, height))
    return Placement((size - w) // 2, (size - h) // 2, w, h)


def letterbox(picture: Bytes, size: int) -> Bytes:
    """Resample a picture (c, h, w) into a black square (c, size, size), antialiased."""
    c, h, w = picture.shape
    at = place(w, h, size)
    square = np.zeros((c, size, size), dtype=np.uint8)
    rows, columns = slice(at.top, at.top + at.height), slice(at.left, at.left + at.width)
    for channel, plane in zip(square, picture, strict=True):
        channel[rows, columns] = _resample(plane, at.width, at.height)
    return square


def resize(stack: Bytes, size: int) -> Bytes:
    """Resample grey images (n, h, w) to (n, size, size), antialiased."""
    n, _, _ = stack.shape
    out = np.empty((n, size, size), dtype=np.uint8)
    for position, grey in enumerate(stack):
        out[position] = _resample(grey, size, size)
    return out


def read_picture(path: Path, channels: int, bits: int = 16) -> Bytes:
    """Read a PNG, JPEG, TIFF or DICOM file as (channels, h, w), 0..255, whatever its suffix.

    One channel is grey, three are RGB. The picture is turned as its EXIF orientation says; what is
    transparent is black. `bits` of 16-bit files are scaled to the full range, DICOM by its window
    if it has one. Raises `DataError` naming the file, also where a value needs more bits.
    """
    with open_image(path, bits=bits) as image:
        return _planes(image, channels, bits)


def read_pictures(files: Sequence[Path], image: ImageSpec, bits: int = 16) -> Bytes:
    """Read image files, letterboxed: (n, C, size, size). Raises `DataError` with all unreadable."""
    out = np.empty((len(files), image.channels, image.size, image.size), dtype=np.uint8)
    unreadable: dict[int, str] = {}

    def read(positions: range) -> None:
        for position in positions:
            try:
                picture = read_picture(files[position], image.channels, bits)
                out[position] = letterbox(picture, image.size)
            except DataError as error:
                if not error.unreadable:
                    raise
                unreadable[position] = error.unreadable[0]

    # Pillow decodes without the interpreter's lock; small ones take less than a task.
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, (range(k, len(files), threads) for k in range(threads))))
    if unreadable:
        first = min(unreadable)
        raise _fault(files[first], unreadable[first], dict(sorted(unreadable.items())))
    return out


def is_image(path: Path) -> bool:
    """Whether a file starts as a PNG, JPEG, TIFF or DICOM file does, whatever its suffix."""
    with path.open("rb") as file:
        return is_dicom(file) or file.read(8).startswith(_MAGIC)


def to_eight_bits(values: NDArray[np.floating[Any]]) -> Bytes:
    """Map values from -1 (black) to 1 (white) to 0..255, rounded and clipped."""
    return np.asarray(((values + 1) * 127.5).round().clip(0, 255), np.uint8)


def read_extent(path: Path) -> tuple[int, int]:
    """Width and height of an image file as it is shown. Raises `DataError` naming the file."""
    with open_image(path, turned=False) as image:
        width, height = image.size
        return (height, width) if orientation(image) >= _FIRST_ON_ITS_SIDE else (width, height)


@contextlib.contextmanager
def open_image(path: Path, *, turned: bool = True, bits: int = 16) -> Iterator[Image]:
    """Open a picture as it is shown, or not `turned`, as it is stored.

    `bits` are those in use of a DICOM file without a window.

    Raises `DataError` naming the file, also for what goes wrong in the body.
    """
    from PIL import Image, UnidentifiedImageError

    # The error below says what is wrong with a file; Pillow's warnings would repeat it.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        with path.open("rb") as file:
            if is_dicom(file):
                yield read_dicom(path, MAX_PIXELS, bits)
                return
            with Image.open(file, formats=FORMATS) as image:
                _check(image)
                yield _turn(image) if turned else image
    except MissingDecoderError as error:
        raise DataError(f"cannot read the image {path}: {error}") from error
    except UnidentifiedImageError as error:
        reason = "it is no readable PNG, JPEG, TIFF or DICOM, or is cut off at the start"
        raise _fault(path, reason) from error
    # A broken file makes Pillow raise OSError, ValueError, SyntaxError, IndexError and others.
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise _fault(path, reason or type(error).__name__) from error


def orientation(image: Image) -> int:
    """The EXIF orientation of a picture that is still to be turned, 1 (upright) to 8."""
    if image.format == "TIFF":  # Pillow turns it when it is loaded, and swaps its size before
        return 1
    if image.format == "PNG":  # whose EXIF may come last; a broken picture should say so here
        image.load()
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # viewers show a picture whose EXIF is damaged as it is stored
        return 1
    return value if value in range(1, 9) else 1


def _turn(image: Image) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }  # fmt: skip
    stored, turn = image, turns.get(orientation(image))
    if turn is None:
        return image
    image = stored.transpose(turn)
    image.format, image.info = stored.format, stored.info
    return image


def _fault(path: Path, reason: str, unreadable: Mapping[int, str] | None = None) -> DataError:
    reason = "".join(sign if sign.isprintable() else "?" for sign in reason)  # it may quote bytes
    return DataError(
        f"cannot read the image {path}: {reason}; replace the file", unreadable or {0: reason}
    )


def _check(image: Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"its header says {width:,} x {height:,} pixels, too many")
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise ValueError("it is animated; a single picture is expected")
    if image.format == "TIFF":
        _check_tiff(image)


def _check_tiff(image: Any) -> None:
    """Refuse several pages, and numbers without a known black and white."""
    if image.is_animated:
        raise ValueError("it has several pages; a single picture is expected")
    bits = image.tag_v2.get(_BITS, (1,))
    if set(image.tag_v2.get(_NUMBERS, (1,))) != {1} or not set(bits) <= {1, 2, 4, 8, 16}:
        raise ValueError(
            f"its {max(bits)}-bit values are signed, fractions or of another size; unsigned values "
            "of 8 or 16 bits expected"
        )


def _planes(image: Image, channels: int, bits: int) -> Bytes:
    if image.mode.startswith("I"):
        grey = _eight_bits(image, bits)
        return np.repeat(grey[None], channels, axis=0)
    if image.has_transparency_data:  # black is the colour around letterboxed pictures, too
        from PIL.Image import alpha_composite, new

        layer = image.convert("RGBA")
        image = alpha_composite(new("RGBA", layer.size, "black"), layer).convert("RGB")
    if channels == 1:
        single = image if image.mode == "L" else image.convert("L")
        return np.array(single, dtype=np.uint8)[None]
    return np.array(image.convert("RGB"), dtype=np.uint8).transpose(2, 0, 1)


def _eight_bits(image: Image, bits: int) -> Bytes:
    """Scale the values of a 16-bit picture (h, w), of which `bits` are used, to 0..255."""
    wide, largest = np.asarray(image), 2**bits - 1
    if wide.max() > largest:
        raise ValueError(f"it holds {wide.max():,}, which the setting bits={bits} has no room for")
    # Rounding to 65535 / 255 = 257 makes a 16-bit copy of an 8-bit image equal to it.
    table = (np.arange(largest + 1) * 255 + largest // 2) // largest
    if (transparent := image.info.get("transparency")) is not None:
        table[transparent : transparent + 1] = 0
    grey = table.astype(np.uint8)[wide]
    # In a TIFF 0 may be white; Pillow inverts only those of fewer bits.
    starts_white = image.format == "TIFF" and cast(Any, image).tag_v2.get(_PHOTOMETRIC) == 0
    return np.asarray(255 - grey if starts_white else grey)


def _resample(grey: Bytes, width: int, height: int) -> Bytes:
    from PIL import Image

    h, w = grey.shape
    if (w, h) == (width, height):
        return grey
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC))
