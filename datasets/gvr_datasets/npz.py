"""Arrays of images and labels in one NPZ file, laid out as MedMNIST's (Yang et al. 2023)."""

from __future__ import annotations

import functools
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.api import letterbox
from gvr_datasets.size_caution import smaller_than
from gvr_datasets.splits import SIZES
from gvr_datasets.tasks import ClassSettings, Names, refuse_classes, two_classes

MAX_CLASSES = 1000
MAX_BYTES = 2**31  # of one array; those of MedMNIST have half as many at 64 pixels
_PARTS = {"train": "train", "validation": "val", "test": "test"}
_NEEDS = (
    "it needs the arrays train_images, train_labels, val_images, val_labels, test_images and "
    "test_labels, like the files of medmnist.com: --dataset npz:FILE.npz"
)


class Npz(gvr.Dataset):
    """One file of the arrays `train_images`, `train_labels`, and the same of `val` and `test`.

    Images are (N, H, W) or (N, H, W, 3) of bytes; labels (N,) or (N, 1) of classes, or (N, K) of 0
    and 1. Classes are the numbers that occur; two are binary: is it the larger one? Patients are
    not known, so each image is its own.
    """

    version = "2"
    argument = "file"
    files = frozenset({"file"})
    case_settings = frozenset({"source", "target"})
    head = "linear"
    profiles = SIZES

    class Settings(ClassSettings):
        """The file, relative to `--data-root` if there is one, and the edge length of images.

        `labels` are the names of the classes or findings, as `a+b` or, in TOML, as a list.
        `source` and `target` default to the first two classes.
        """

        file: Path | None = None
        size: int = Field(default=128, ge=8, le=1024)
        labels: Names = ()

    settings: Settings

    @property
    def task(self) -> gvr.Task:
        """Binary, multiclass or multilabel, by the shape of the labels."""
        columns, classes = self._labels["train"].shape[1], len(self._classes)
        count = columns if columns > 1 else classes
        numbers = range(count) if columns > 1 else self._classes
        names = self.settings.labels or tuple(map(str, numbers))
        if len(names) != count:
            raise gvr.UsageError(
                f"{self._path} has {count} {'findings' if columns > 1 else 'classes'} "
                f"({', '.join(map(str, numbers))}) and labels names {len(names)}: {'+'.join(names)}"
            )
        if columns == 1 and classes > 2:
            source, target = two_classes(names, self.settings, range(classes))
            return gvr.Task(kind="multiclass", outputs=names, source=source, target=target)
        if columns == 1:
            refuse_classes(self.settings, "binary")
            return gvr.Task(kind="binary", outputs=names[1:])
        refuse_classes(self.settings, "multilabel")
        return gvr.Task(kind="multilabel", outputs=names)

    @property
    def image(self) -> gvr.ImageSpec:
        """Grey or colour as in the file, letterboxed to a square."""
        shape = read_shape(self._path, "train_images")
        coloured = len(shape) == 4 and shape[3] != 1
        return gvr.ImageSpec(3 if coloured else 1, self.settings.size)

    def fingerprint(self) -> str:
        """Digest of the file."""
        return gvr.digest_of(self._path)

    def split(self, name: str) -> gvr.Split:
        """One of the official parts. Raises `DataError`."""
        part = _PARTS[name]
        stack, labels = self._images(name), self._positions(self._labels[name])
        size = self.settings.size
        names = np.array([f"{part}-{i:06d}" for i in range(len(stack))], dtype=np.str_)

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            return np.stack([letterbox(stack[position], size) for position in index])

        return gvr.Split(
            sample_ids=names,
            patient_ids=names,
            targets=labels.astype(np.float32),
            images=images,
        )

    def cautions(self) -> tuple[str, ...]:
        """Labels that may mean something else, and what the size of images hides."""
        _, h, w = read_shape(self._path, "train_images")[:3]
        lines = list(smaller_than([(w, h)], f"npz:{self.settings.file}", self.settings.size))
        labels = self._labels["train"]
        if labels.shape[1] > 1 and (labels.sum(axis=1) == labels.max()).all():
            lines.append(
                f"every row of train_labels marks one of {labels.shape[1]} columns, as one-hot "
                "classes do, and each column is taken for a finding; for classes, store the "
                "number of the column: labels.argmax(axis=1)"
            )
        return tuple(lines)

    @functools.cached_property
    def _classes(self) -> list[int]:
        """The numbers that occur as labels, in order. Raises `DataError`."""
        values = np.unique(np.concatenate([part.ravel() for part in self._labels.values()]))
        if len(values) > MAX_CLASSES:
            raise gvr.DataError(
                f"{self._path}: the labels hold {len(values):,} different numbers, at most "
                f"{MAX_CLASSES} are taken for classes"
            )
        if values.tolist() == [-1, 0, 1] and not self.settings.labels:
            raise gvr.DataError(
                f"{self._path}: the labels hold -1, which means uncertain beside 0 and 1; leave "
                "these images out, or name three classes with labels=a+b+c"
            )
        return [int(value) for value in values]

    def _positions(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number classes (N, 1) from 0, and findings (N, K) that are marked by other numbers 1."""
        if labels.shape[1] > 1:
            return (labels > 0).astype(np.int64)
        return np.searchsorted(self._classes, labels)

    def _images(self, name: str) -> NDArray[np.uint8]:
        """Read the images of a split as (N, C, H, W)."""
        key = f"{_PARTS[name]}_images"
        stack = read_array(self._path, key)
        if stack.ndim == 4 and stack.shape[3] == 1:
            stack = stack[..., 0]
        grey = stack.ndim == 3
        if stack.dtype != np.uint8 or not (grey or (stack.ndim == 4 and stack.shape[3] == 3)):
            raise gvr.DataError(
                f"{self._path}: {key} is {stack.shape} of {stack.dtype}; (N, H, W) or "
                "(N, H, W, 3) of uint8 expected"
            )
        if len(stack) != len(self._labels[name]) or 0 in stack.shape:
            raise gvr.DataError(
                f"{self._path}: {key} holds {len(stack):,} images and there are "
                f"{len(self._labels[name]):,} labels; one for each expected"
            )
        channels = 1 if grey else 3
        if channels != self.image.channels:
            raise gvr.DataError(
                f"{self._path}: {key} has {channels} channel(s) and train_images "
                f"{self.image.channels}; the same in all parts expected"
            )
        return stack[:, None] if grey else stack.transpose(0, 3, 1, 2)

    @functools.cached_property
    def _labels(self) -> dict[str, NDArray[np.int64]]:
        """Labels (N, columns) of every split."""
        read = {name: read_labels(self._path, f"{part}_labels") for name, part in _PARTS.items()}
        if len({labels.shape[1] for labels in read.values()}) > 1:
            shapes = ", ".join(f"{labels.shape}" for labels in read.values())
            raise gvr.DataError(f"{self._path}: the labels are {shapes}; as many columns expected")
        if len(
            {int(value) for labels in read.values() for value in np.unique(labels)} - {0}
        ) > 1 and (read["train"].shape[1] > 1):
            raise gvr.DataError(
                f"{self._path}: the labels have several columns and hold more than 0 and another "
                "number; findings are 0 or 1"
            )
        if read["train"].max() == read["train"].min():
            raise gvr.DataError(f"{self._path}: all train_labels are {read['train'].max()}")
        return read

    @functools.cached_property
    def _path(self) -> Path:
        file = self.settings.file
        if file is None:
            raise gvr.DataError(f"the data set 'npz' was given no file; {_NEEDS}")
        path = file.expanduser() if self.root is None else self.root / file
        if not path.is_file():
            raise gvr.DataError(f"there is no file {path}; {_NEEDS}")
        return path


def read_labels(path: Path, key: str) -> NDArray[np.int64]:
    """Read whole numbers, of any type, as (N, columns). Raises `DataError` where they are none."""
    labels = read_array(path, key)
    labels = labels[:, None] if labels.ndim == 1 else labels
    integral = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == labels.round())).all())
    )
    if labels.ndim != 2 or not integral or 0 in labels.shape:
        raise gvr.DataError(
            f"{path}: {key} is {labels.shape} of {labels.dtype}; (N, 1) or (N, K) of whole "
            "numbers expected"
        )
    return labels.astype(np.int64)


def read_shape(path: Path, key: str) -> tuple[int, ...]:
    """Shape of an array, from its header. Raises `DataError`."""
    return _read(path, key, header_only=True).shape


def read_array(path: Path, key: str) -> NDArray[Any]:
    """Read an array whose header says that it is small enough and no object. Raises `DataError`."""
    return _read(path, key, header_only=False)


def _read(path: Path, key: str, *, header_only: bool) -> NDArray[Any]:
    """Read an array, or a stand-in of its shape."""
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as file:
                read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
                shape, _, dtype = read_header[npy.read_magic(file)](file)
            _check(shape, dtype, member.file_size)
            if header_only:
                return np.broadcast_to(np.zeros((), dtype), shape)
            with archive.open(member) as file:
                return np.asarray(npy.read_array(file, allow_pickle=False))
    except KeyError as error:
        raise gvr.DataError(f"{path} has no array {key}; {_NEEDS}") from error
    # A broken archive raises BadZipFile, zlib.error, EOFError, NotImplementedError and others.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise gvr.DataError(f"cannot read {key} of {path}: {reason}; {_NEEDS}") from error


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> None:
    """Refuse an array that is too large, or larger than what the archive says it holds."""
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("it holds objects, numbers expected")
    if not 0 <= size <= min(room, MAX_BYTES):
        raise ValueError(
            f"it says it has {size:,} bytes, at most {min(room, MAX_BYTES):,} expected"
        )
