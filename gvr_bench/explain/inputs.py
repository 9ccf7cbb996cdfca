"""Reads new images (files, Pillow images, arrays) as the data set would read them."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.types import Bytes
from gvr_bench.data.image_io import read_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture: TypeAlias = str | PathLike[str] | Image | NDArray[Any]


@dataclass(frozen=True, eq=False)
class InputImage:
    """One image: `pixels` (C, H, W) uint8; `sha256` is that of its file or bytes."""

    name: str
    path: str
    sha256: str
    pixels: Bytes


def read_file(dataset: Dataset, path: Path, name: str = "") -> InputImage:
    """Read an image file. Raises `DataError` that names it."""
    if path.is_dir():
        raise DataError(f"cannot read the image {path}: it is a folder; name images, {path}/*.png")
    image = dataset.image
    pixels = dataset.read(path)
    if pixels is None:
        (pixels,) = read_pictures([path], image)
    if pixels.shape != (image.channels, image.size, image.size) or pixels.dtype != np.uint8:
        raise DataError(
            f"cannot read the image {path}: the data set returned {pixels.shape} {pixels.dtype}, "
            f"not {image} uint8"
        )
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error.strerror or error}") from error
    return InputImage(name or printable(path), printable(path), sha256, pixels)


def printable(path: Path) -> str:
    """Return a path as text that can be encoded, whatever its bytes."""
    return str(path).encode("utf-8", "replace").decode()


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return file names, or the whole path where several files share a name."""
    counts = Counter(path.name for path in paths)
    return [printable(Path(path.name) if counts[path.name] == 1 else path) for path in paths]


def read_picture(dataset: Dataset, picture: Picture, number: int) -> InputImage:
    """Read anything that `Picture` allows. Raises `DataError` or `UsageError`."""
    if isinstance(picture, str | PathLike):
        return read_file(dataset, Path(picture))
    image = _to_pillow(picture)
    name = f"image {number}"
    with tempfile.TemporaryDirectory(prefix="gvr-bench-") as folder:
        file = Path(folder) / "image.png"
        try:
            image.load()  # which turns a TIFF; others are turned when they are read
            image.save(file, "PNG", exif=image.getexif())
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{name} has the mode {image.mode}, which cannot be read; convert it to L or RGB"
            ) from error
        return replace(read_file(dataset, file, name), path="")


def _to_pillow(picture: Image | NDArray[Any]) -> Image:
    """Return an image of Pillow's. Raises `UsageError`."""
    from PIL import Image

    if isinstance(picture, Image.Image):
        return picture
    if not isinstance(picture, np.ndarray):
        raise UsageError(
            f"cannot explain a {type(picture).__name__}; give a path, a Pillow image or an array"
        )
    array = _to_uint8(picture)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise UsageError(
            f"cannot explain an array of shape {picture.shape}; one image is (H, W), (H, W, 3) or "
            "(C, H, W); give several as a list"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _to_uint8(array: NDArray[Any]) -> Bytes:
    """Map floats from [-1, 1] to bytes. Raises `UsageError` for another range or dtype."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise UsageError(
            f"cannot explain an array of {array.dtype}; give uint8 from 0 to 255, or floats from "
            "-1 (black) to 1 (white)"
        )
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if not (-1 <= low < 0 and high <= 1):  # NaN is refused as well
        raise UsageError(
            f"cannot explain floats from {low:.3g} to {high:.3g}; the range is -1 (black) to 1 "
            "(white): convert x in [0, 1] with 2 * x - 1"
        )
    return np.asarray(np.round((array + 1) * 127.5), np.uint8)
