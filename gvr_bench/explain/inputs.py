"""Takes new images in: files, Pillow's images and arrays, as the data set would read them."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.core.types import ImageSpec

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture: TypeAlias = str | PathLike[str] | Image | NDArray[Any]


@dataclass(frozen=True, eq=False)
class InputImage:
    """One image: `pixels` (C, H, W) uint8; `sha256` is that of its file or bytes."""

    name: str
    path: str
    sha256: str
    pixels: NDArray[np.uint8]


def take_file(dataset: Dataset, path: Path, name: str = "") -> InputImage:
    """Read an image file. Raises `DataError` that names it."""
    if path.is_dir():
        raise DataError(f"cannot read the image {path}: it is a folder; name images, {path}/*.png")
    pixels = _checked(dataset.read(path), dataset.image, path)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the image {path}: {error.strerror or error}") from error
    return InputImage(name or readable(path), readable(path), sha256, pixels)


def readable(path: Path) -> str:
    """Return a path as text that can be written, whatever its bytes."""
    return str(path).encode("utf-8", "replace").decode()


def _checked(pixels: NDArray[np.uint8], image: ImageSpec, path: Path) -> NDArray[np.uint8]:
    """Return what a data set read, if it is as it should be. Raises `DataError`."""
    if pixels.shape != (image.channels, image.size, image.size) or pixels.dtype != np.uint8:
        raise DataError(
            f"cannot read the image {path}: the data set makes {pixels.shape} {pixels.dtype} of "
            f"it, not {image} uint8"
        )
    return pixels


def names_of(paths: Sequence[Path]) -> list[str]:
    """Name files as shortly as tells them apart: by their own name, or by the whole path."""
    often = Counter(path.name for path in paths)
    return [readable(Path(path.name) if often[path.name] == 1 else path) for path in paths]


def take(dataset: Dataset, picture: Picture, number: int) -> InputImage:
    """Take in anything that `Picture` names. Raises `DataError` or `UsageError`.

    What is no file goes through one, so that all images are read in the data set's own way.
    """
    if isinstance(picture, str | PathLike):
        return take_file(dataset, Path(picture))
    image = _image_of(picture)
    name = f"image {number}"
    with tempfile.TemporaryDirectory(prefix="gvr-bench-") as folder:
        file = Path(folder) / "image.png"
        try:
            image.save(file, "PNG")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{name} has the mode {image.mode}, which cannot be read; convert it to L or RGB"
            ) from error
        taken = take_file(dataset, file, name)
    return InputImage(name, "", taken.sha256, taken.pixels)


def _image_of(picture: Image | NDArray[Any]) -> Image:
    """Return an image of Pillow's. Raises `UsageError`."""
    from PIL import Image

    if isinstance(picture, Image.Image):
        return picture
    if not isinstance(picture, np.ndarray):
        raise UsageError(
            f"cannot explain a {type(picture).__name__}; give a path, an image of Pillow's or an "
            "array"
        )
    array = _bytes(picture)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    flat = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not flat or 0 in array.shape:
        raise UsageError(
            f"cannot explain an array of shape {picture.shape}; one image is (H, W), (H, W, 3) or "
            "(C, H, W), and several are a list"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array as bytes. Raises `UsageError` where its range is not what it should be."""
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
            f"cannot explain floats from {low:.3g} to {high:.3g}; they go from -1 (black) to 1 "
            "(white): of x from 0 to 1 give 2 * x - 1"
        )
    return np.asarray(np.round((array + 1) * 127.5), np.uint8)
