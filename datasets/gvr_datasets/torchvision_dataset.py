"""The data set `torchvision:NAME`: any of torchvision's that has one class per image."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.api import letterbox
from gvr_datasets.class_names import ClassSettings, two_classes
from gvr_datasets.presets import SIZES
from gvr_datasets.splits import split_patients
from gvr_datasets.torchvision_labels import Part, find_set, open_parts, unique


class Torchvision(gvr.Dataset):
    """A data set of torchvision with one class per image, by the name of its class there.

    `--data-root` is torchvision's root, with the files where torchvision puts them; without it they
    are downloaded once into the user's cache folder. The official test images are tested on where
    there are some, and validation is cut from the training images. Nobody says whose images they
    are, so each is its own patient.
    """

    argument = "name"
    case_settings = frozenset({"source", "target"})
    head = "linear"
    profiles = SIZES

    class Settings(ClassSettings):
        """Which data set it is, and how it is read and split.

        `variant` is for those that come in several, like EMNIST's `letters`. `validation` is a
        share of the images not used for testing, `test` one of all where torchvision has no test
        images; `seed` decides which. `source` and `target` are the first two classes where they
        are not given.
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
        first = self._parts["train"]
        count = 1 + int(max(part.labels.max() for part in self._parts.values()))
        if count < 2:
            raise gvr.DataError(f"torchvision's {self.settings.name} has images of one class only")
        names = first.classes if len(first.classes) >= count else tuple(map(str, range(count)))
        names = unique(names)
        shown = np.unique(first.labels).tolist()
        source, target = two_classes(names, self.settings, shown)
        return gvr.Task(kind="multiclass", outputs=names, source=source, target=target)

    @property
    def image(self) -> gvr.ImageSpec:
        """Grey or colour as its images are, letterboxed to a square."""
        return gvr.ImageSpec(self._parts["train"].channels, self.settings.size)

    def fingerprint(self) -> str:
        """Digest of all labels, and of the pixels or the names and sizes of the files."""
        return " ".join(f"{name} {part.digest}" for name, part in self._parts.items())

    def split(self, name: str) -> gvr.Split:
        """The official part, or a share. Raises `DataError`."""
        part, rows = self._chosen[name]
        whole = "test" if part is self._parts.get("test") else "train"
        names = np.array([f"{whole}-{row:06d}" for row in rows], dtype=np.str_)

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
    def _chosen(self) -> dict[str, tuple[Part, NDArray[np.int64]]]:
        """The part and the positions in it of each split."""
        first, settings = self._parts["train"], self.settings
        official = self._parts.get("test")
        ids = [str(row) for row in range(len(first.labels))]
        if official is not None:
            ids.append("tested elsewhere")
        found = split_patients(
            ids,
            settings.seed,
            test={"tested elsewhere"} if official is not None else settings.test,
            validation=settings.validation,
        )
        of = np.array([found[str(row)] for row in range(len(first.labels))])
        chosen = {name: (first, np.flatnonzero(of == name)) for name in ("train", "validation")}
        if official is None:
            return chosen | {"test": (first, np.flatnonzero(of == "test"))}
        return chosen | {"test": (official, np.arange(len(official.labels)))}

    @functools.cached_property
    def _parts(self) -> dict[str, Part]:
        """`train`, and `test` where torchvision has one."""
        cls = find_set(self.settings.name)
        return open_parts(cls, self.root, self.settings.variant)
