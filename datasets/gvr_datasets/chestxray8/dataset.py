"""The data set `chestxray8`."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.chestxray8.release import Release, open_release
from gvr_datasets.chestxray8.tables import FINDINGS, RELEASE_EDGE, Box, Row
from gvr_datasets.pixels import Placement, letterbox, place, read_extent, read_grey

_TEST_SHARE = 0.2


class ChestXray8(gvr.Dataset):
    """Frontal radiographs of the NIH Clinical Center with eight findings mined from reports.

    The folder is read as it is downloaded. The official lists decide what is tested; without
    them a fifth of the patients does. Boxes, drawn on about 1,000 images, are the truth.
    """

    head = "residual"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"size": 32},
        "standard": {"size": 64},
        "paper": {"size": 128},
    }

    class Settings(gvr.Settings):
        """How the images are read and split.

        `validation` is the share of the patients not used for testing; `seed` decides which.
        `missing` says what happens to rows of the table whose image is not on disk.
        """

        size: int = Field(default=128, ge=8, le=1024)
        seed: int = Field(default=0, ge=0)
        validation: float = Field(default=0.125, gt=0, lt=1)
        missing: Literal["error", "skip"] = "error"

    @property
    def task(self) -> gvr.Task:
        """Which of the eight findings are there."""
        return gvr.Task(kind="multilabel", outputs=FINDINGS)

    @property
    def image(self) -> gvr.ImageSpec:
        """One grey channel, letterboxed to a square."""
        return gvr.ImageSpec(channels=1, size=self.settings.size)

    def fingerprint(self) -> str:
        """Digest of labels, lists and boxes, and of the names and sizes of the images."""
        return self._release.digest

    def split(self, name: str) -> gvr.Split:
        """The images of that split in the order of the table. Raises `DataError`."""
        release, size = self._release, self.settings.size
        rows = [row for row in release.rows if self._parts[row.patient] == name]
        files = [release.file(row) for row in rows]

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            return _decode([files[position] for position in index], size)

        def truth(index: NDArray[np.int64], output: NDArray[np.int64]) -> gvr.Truth:
            asked = [(rows[i], FINDINGS[k]) for i, k in zip(index, output, strict=True)]
            return gvr.Truth(mask=_masks(release, asked, size))

        return gvr.Split(
            sample_ids=np.array([row.name for row in rows], dtype=np.str_),
            patient_ids=np.array([row.patient for row in rows], dtype=np.str_),
            targets=np.array(
                [[finding in row.findings for finding in FINDINGS] for row in rows], np.float32
            ),
            images=images,
            truth=truth if release.boxes is not None else None,
        )

    @functools.cached_property
    def _release(self) -> Release:
        try:
            return open_release(self.root, self.settings.missing)
        except OSError as error:
            raise gvr.DataError(f"cannot read {self.root}: {error}") from error

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        return split_patients(self._release, self.settings.seed, self.settings.validation)


def split_patients(release: Release, seed: int, validation: float) -> dict[str, str]:
    """Return the split of each patient.

    Patients are ordered by a hash, so their order in the table plays no role. Raises `DataError`
    where a split would be empty.
    """
    patients = sorted(
        {row.patient for row in release.rows},
        key=lambda patient: hashlib.sha256(f"{seed} {patient}".encode()).digest(),
    )
    if release.test is None:
        tested = set(patients[: _share(_TEST_SHARE, len(patients))])
    else:
        tested = {row.patient for row in release.rows if row.name in release.test}
    rest = [patient for patient in patients if patient not in tested]
    validated = set(rest[: _share(validation, len(rest))])
    if not tested or len(rest) < 2:
        raise gvr.DataError(
            f"{len(tested)} patient(s) to test on and {len(rest)} for the rest are too few: train, "
            "validation and test need images of at least one patient each"
        )
    return {
        patient: "test" if patient in tested else "validation" if patient in validated else "train"
        for patient in patients
    }


def _share(share: float, n: int) -> int:
    """At least one, and at least one left."""
    return min(max(round(share * n), 1), n - 1)


def _decode(files: list[Path], size: int) -> NDArray[np.uint8]:
    """Read images in parallel: Pillow decodes without the interpreter's lock."""
    out = np.empty((len(files), 1, size, size), dtype=np.uint8)

    def read(position: int) -> None:
        out[position, 0] = letterbox(read_grey(files[position]), size)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, range(len(files))):
            pass
    return out


def _masks(release: Release, asked: list[tuple[Row, str]], size: int) -> NDArray[np.bool_]:
    assert release.boxes is not None
    masks = np.zeros((len(asked), size, size), dtype=np.bool_)
    for mask, (row, finding) in zip(masks, asked, strict=True):
        boxes = release.boxes.get((row.name, finding), [])
        if boxes:
            width, height = read_extent(release.file(row))
            at = place(width, height, size)
        for box in boxes:
            mask[box_slices(box, at)] = True
    return masks


def box_slices(box: Box, at: Placement) -> tuple[slice, slice]:
    """Rows and columns whose centres a box covers, at least one each, after letterboxing."""
    return (
        _covered(box.y, box.h, at.top, at.height),
        _covered(box.x, box.w, at.left, at.width),
    )


def _covered(start: float, extent: float, offset: int, edge: int) -> slice:
    first = min(round(start / RELEASE_EDGE * edge), edge - 1)
    last = min(max(round((start + extent) / RELEASE_EDGE * edge), first + 1), edge)
    return slice(offset + first, offset + last)
