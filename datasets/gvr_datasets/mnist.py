"""MNIST: 70,000 handwritten digits of 28 x 28 (LeCun, Cortes and Burges 1998)."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr
from gvr_datasets.digits import TenDigits, digit_split
from gvr_datasets.idx import read_idx
from gvr_datasets.image_tables import stay_inside

_EDGE = 28
_VALIDATION = 5_000
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_PACKED = {  # bytes of the gzipped file, SHA-256 of what is in it
    "train-images-idx3-ubyte": (
        9_912_422,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        28_881,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        1_648_877,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        4_542,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


class Mnist(TenDigits):
    """MNIST with its official test images; the last 5,000 training images are validation.

    Sizes other than 28 get a black margin of 2 pixels first, so 32 shows the original pixels.
    """

    @property
    def home(self) -> Path:
        """Where in `--data-root` the files are; by default a folder in the user's cache."""
        if self.root is None:
            return _cache()
        return next(filter(_complete, _places(self.root)), self.root)

    def remote(self) -> tuple[gvr.Remote, ...]:
        """The four files, gzipped: 11 MB."""
        return tuple(
            gvr.Remote(
                f"{name}.gz",
                tuple(f"{mirror}{name}.gz" for mirror in _MIRRORS),
                size,
                f"sha256:{digest}",
                gzipped=True,
                instead={name: f"sha256:{digest}"},
            )
            for name, (size, digest) in _PACKED.items()
        )

    def fingerprint(self) -> str:
        """Digest of all pixels and labels, gzipped or not. Raises `DataError`."""
        digest = hashlib.sha256()
        for images, labels in self._parts.values():
            digest.update(images.tobytes() + labels.tobytes())
        return digest.hexdigest()

    def split(self, name: str) -> gvr.Split:
        """One of the official parts, validation cut from the end of train. Raises `DataError`."""
        part = "test" if name == "test" else "train"
        stack, labels = self._parts[part]
        cut = len(stack) - _VALIDATION
        first, last = {
            "train": (0, cut),
            "validation": (cut, len(stack)),
            "test": (0, len(stack)),
        }[name]
        if self.settings.size != _EDGE:
            stack = np.pad(stack, ((0, 0), (2, 2), (2, 2)))
        return digit_split(np.arange(first, last), stack, labels, self.settings.size, part)

    @functools.cached_property
    def _parts(self) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        folder = self._downloaded() if self.root is None else find(self.root)
        return {
            part: _read_part(
                *(_present(folder, name) for name in names),
                least=_VALIDATION + 1 if part == "train" else 1,
            )
            for part, names in _FILES.items()
        }

    def _downloaded(self) -> Path:
        """The folder in the user's cache that holds MNIST, downloading 11 MB once.

        Raises `DataError` where that fails.
        """
        folder = _cache()
        try:
            if not _complete(folder):
                gvr.fetch(self.remote(), folder)
        except (gvr.DataError, gvr.UsageError) as error:
            raise gvr.DataError(
                f"MNIST is not in {folder} and could not be downloaded (11 MB): {error}; give the "
                "folder that holds its four IDX files with --data-root DIR, or run now without "
                "it: gvr-bench run --dataset digits"
            ) from error
        return folder


def _read_part(
    images_file: Path, labels_file: Path, *, least: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    n, h, w = images.shape
    if (h, w) != (_EDGE, _EDGE):
        raise gvr.DataError(f"{images_file} holds images of {h} x {w} pixels, 28 x 28 expected")
    if n != len(labels):
        raise gvr.DataError(
            f"{labels_file} holds {len(labels)} labels, {n} expected: one for each image of "
            f"{images_file.name}"
        )
    if n < least:
        raise gvr.DataError(f"{images_file} holds {n} images, at least {least} expected")
    if labels.max() > 9:
        raise gvr.DataError(f"{labels_file} holds the label {labels.max()}, 0..9 expected")
    return images, labels


def _present(folder: Path, name: str) -> Path:
    plain = folder / name
    return stay_inside(plain if plain.is_file() else folder / f"{name}.gz", folder)


def _complete(folder: Path) -> bool:
    try:
        return all(_present(folder, name).is_file() for pair in _FILES.values() for name in pair)
    except OSError as error:
        raise gvr.DataError(f"cannot read {folder}: {error}") from error


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("gvr-bench") / "mnist" / "MNIST" / "raw"


def _places(root: Path) -> tuple[Path, Path]:
    return root, root / "MNIST" / "raw"


def find(root: Path) -> Path:
    """Return the folder in or below `root` that holds the four files. Raises `DataError`."""
    for folder in _places(root):
        if _complete(folder):
            return folder
    names = ", ".join(name for pair in _FILES.values() for name in pair)
    raise gvr.DataError(
        f"MNIST was looked for in {root} and {root / 'MNIST' / 'raw'}, which needs {names} "
        "(each as it is or with .gz); leave --data-root away to download them (11 MB), or run "
        "now without them: gvr-bench run --dataset digits"
    )
