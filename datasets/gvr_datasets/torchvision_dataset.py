"""The data set `torchvision:NAME`: those of torchvision that have one class per image."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.api import letterbox
from gvr_datasets.splits import SIZES, split_patients
from gvr_datasets.tasks import ClassSettings, two_classes


@dataclass(frozen=True)
class Source:
    """How a class of torchvision is opened and read.

    `train` and `test` are its arguments; without `test` there is no official test part. `labels`
    and `content` are its attributes that hold all labels, and all pixels or the paths of all files.
    """

    train: Mapping[str, object] = field(default_factory=lambda: {"train": True})
    test: Mapping[str, object] | None = field(default_factory=lambda: {"train": False})
    labels: str = "targets"
    content: str = "data"
    channels: int = 3
    variants: tuple[str, ...] = ()


_GREY = Source(channels=1)
_SPLITS = Source({"split": "train"}, {"split": "test"}, labels="labels")
SOURCES = {
    "CIFAR10": Source(),
    "CIFAR100": Source(),
    "EMNIST": Source(
        channels=1,
        variants=("balanced", "byclass", "bymerge", "digits", "letters", "mnist"),
    ),
    "EuroSAT": Source({}, None, content="samples"),
    "FashionMNIST": _GREY,
    "KMNIST": _GREY,
    "MNIST": _GREY,
    "OxfordIIITPet": Source(
        {"split": "trainval"}, {"split": "test"}, labels="_labels", content="_images"
    ),
    "STL10": _SPLITS,
    "SVHN": _SPLITS,
}


@dataclass(frozen=True)
class Part:
    """One official part of a data set: `labels` (N,) int64."""

    dataset: Any
    channels: int
    labels: NDArray[np.int64]
    digest: str

    def picture(self, row: int) -> NDArray[np.uint8]:
        """Read one picture as (channels, h, w)."""
        image = self.dataset[row][0]
        if self.channels == 1:
            return np.asarray(image.convert("L"))[None]
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


class Torchvision(gvr.Dataset):
    """A data set of torchvision with one class per image, by the name of its class there.

    `--data-root` is torchvision's root, with the files where torchvision puts them; without it they
    are downloaded once into the user's cache folder. The official test images are used for testing
    if there are any, and validation images are taken from the training images. Patients are not
    known, so each image is its own.
    """

    argument = "name"
    case_settings = frozenset({"source", "target"})
    head = "linear"
    profiles = SIZES

    class Settings(ClassSettings):
        """Which data set it is, and how it is read and split.

        `variant` is for those that come in several, like EMNIST's `letters`. `validation` is a
        share of the images not used for testing, `test` one of all if torchvision has no test
        images; `seed` decides which. `source` and `target` default to the first two classes.
        """

        name: str = ""
        variant: str = ""
        size: int = Field(default=128, ge=8, le=1024)
        seed: int = Field(default=0, ge=0)
        test: float = Field(default=0.2, gt=0, lt=1)
        validation: float = Field(default=0.1, gt=0, lt=1)

    settings: Settings

    @property
    def task(self) -> gvr.Task:
        """Which of its classes an image shows."""
        train = self._parts["train"]
        count = 1 + int(max(part.labels.max() for part in self._parts.values()))
        names = tuple(getattr(train.dataset, "classes", ()))
        if len(names) < count:
            names = tuple(map(str, range(count)))
        source, target = two_classes(names, self.settings, np.unique(train.labels).tolist())
        return gvr.Task(kind="multiclass", outputs=names, source=source, target=target)

    @property
    def image(self) -> gvr.ImageSpec:
        """Grey or colour as its images are, letterboxed to a square."""
        return gvr.ImageSpec(self._source.channels, self.settings.size)

    def fingerprint(self) -> str:
        """Digest of all labels, and of the pixels or the names and sizes of the files."""
        return " ".join(f"{name} {part.digest}" for name, part in self._parts.items())

    def split(self, name: str) -> gvr.Split:
        """The official part, or a share of the training part. Raises `DataError`."""
        official = name == "test" and "test" in self._parts
        part = self._parts["test" if official else "train"]
        rows = np.arange(len(part.labels)) if official else self._shares[name]
        prefix = "test" if official else "train"
        names = np.array([f"{prefix}-{row:06d}" for row in rows], dtype=np.str_)

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            out = [letterbox(part.picture(int(rows[i])), self.settings.size) for i in index]
            return np.stack(out)

        return gvr.Split(
            sample_ids=names,
            patient_ids=names,
            targets=part.labels[rows].astype(np.float32)[:, None],
            images=images,
        )

    @functools.cached_property
    def _shares(self) -> dict[str, NDArray[np.int64]]:
        """Positions in the training part of each split that is taken from it."""
        ids = [str(row) for row in range(len(self._parts["train"].labels))]
        official = {"tested elsewhere"} if "test" in self._parts else set()
        splits = split_patients(
            [*ids, *official],
            self.settings.seed,
            test=official or self.settings.test,
            validation=self.settings.validation,
        )
        of = np.array([splits[row] for row in ids])
        return {name: np.flatnonzero(of == name) for name in ("train", "validation", "test")}

    @property
    def _source(self) -> Source:
        name, variant = self.settings.name, self.settings.variant
        if name not in SOURCES:
            fault = (
                f"cannot read '{name}'{gvr.did_you_mean(name, SOURCES)}" if name else "which one?"
            )
            raise gvr.UsageError(
                f"torchvision: {fault}; available: {', '.join(SOURCES)}, as in --dataset "
                "torchvision:CIFAR10; for images in a folder use --dataset folder --data-root DIR"
            )
        variants = SOURCES[name].variants
        if variants and variant not in variants:
            raise gvr.UsageError(
                f"torchvision's {name} comes in variants, and {variant!r} is none of them: "
                f"{', '.join(variants)}; as in --dataset torchvision:{name},variant={variants[0]}"
            )
        if variant and not variants:
            raise gvr.UsageError(
                f"torchvision's {name} has no variants; leave variant={variant} out"
            )
        return SOURCES[name]

    @functools.cached_property
    def _parts(self) -> dict[str, Part]:
        """`train`, and `test` where torchvision has one."""
        parts = {"train": self._source.train, "test": self._source.test}
        return {name: self._open(options) for name, options in parts.items() if options is not None}

    def _open(self, options: Mapping[str, object]) -> Part:
        import platformdirs
        from torchvision import datasets

        name, source = self.settings.name, self._source
        root = self.root or platformdirs.user_cache_path("gvr-bench") / "torchvision"
        variant = {"split": self.settings.variant} if source.variants else {}
        try:
            dataset = getattr(datasets, name)(
                str(root), download=self.root is None, **options, **variant
            )
            labels = np.asarray(getattr(dataset, source.labels), np.int64)
            digest = hashlib.sha256(f"torchvision's {name} {len(labels)}\n".encode())
            for content in (labels.tobytes(), *_content(getattr(dataset, source.content))):
                digest.update(content)
        except Exception as error:  # torchvision and what it calls may raise anything
            reason = " ".join(str(error).split()).partition(" You can use download=True")[0]
            raise gvr.DataError(
                f"cannot read torchvision's {name} in {root}: "
                f"{reason.rstrip('.') or type(error).__name__}; {self._advice()}"
            ) from error
        return Part(dataset, source.channels, labels, digest.hexdigest())

    def _advice(self) -> str:
        if self.root is None:
            return "put its files into a folder as torchvision does and add --data-root DIR"
        return "leave --data-root out to download it"


def _content(values: Any) -> Iterator[bytes]:
    """All pixels of an array, or names and sizes of the files in a list of paths."""
    if not isinstance(values, list):
        yield np.ascontiguousarray(values).tobytes()
        return
    for entry in values:
        file = Path(entry[0] if isinstance(entry, tuple) else entry)
        yield f"{file.name} {file.stat().st_size}\n".encode()
