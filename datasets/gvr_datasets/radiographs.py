"""Radiographs of your own with a table of BNP: the papers' heart failure on private data."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.api import read_pictures
from gvr_datasets.image_tables import (
    MISSING,
    check_name,
    check_patient,
    digest_sizes,
    find_sizes,
    read_records,
)
from gvr_datasets.patients import unify_patients
from gvr_datasets.size_caution import small_size
from gvr_datasets.splits import SIZES, split_patients
from gvr_datasets.tasks import BNP

_TABLE, _COLUMNS = "table.csv", ("file", "patient", "bnp")
# What float32 targets can hold, in ng/L.
_MIN, _MAX = map(float, (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
_NEEDS = (
    f"it needs {_TABLE} with the columns {', '.join(_COLUMNS)} (ng/L, empty where not known) and "
    "the images it names (PNG, JPEG, TIFF or DICOM); then add --data-root DIR, or run now without "
    "them: gvr-bench run --dataset phantom"
)


class Radiographs(gvr.Dataset):
    """Your own frontal radiographs, labelled with BNP in ng/L where it is known.

    The folder holds `table.csv` with the columns `file` (a path in the folder), `patient` and
    `bnp`. Names of files and patients appear in reports: use pseudonyms.
    """

    version = "2"
    head = "linear"
    profiles = SIZES

    class Settings(gvr.Settings):
        """How the images are read and split.

        `test` is a share of the patients, `validation` of those not used for testing; `seed`
        decides which. `skip` is the share of the images that may be left out because their files
        cannot be read. `bits` is how many are used of 16-bit images.
        """

        bits: int = Field(default=16, ge=9, le=16)
        size: int = Field(default=128, ge=8, le=1024)
        seed: int = Field(default=0, ge=0)
        test: float = Field(default=0.2, gt=0, lt=1)
        validation: float = Field(default=0.1, gt=0, lt=1)
        skip: float = Field(default=0.01, ge=0, lt=1)

    @property
    def task(self) -> gvr.Task:
        """BNP with the usual cut-off of 100 ng/L."""
        return BNP

    @property
    def image(self) -> gvr.ImageSpec:
        """One grey channel, letterboxed to a square."""
        return gvr.ImageSpec(channels=1, size=self.settings.size)

    def fingerprint(self) -> str:
        """Digest of the table, and of the names and sizes of the images."""
        return self._collection.digest

    def split(self, name: str) -> gvr.Split:
        """The images of that split in the order of the table. Raises `DataError`."""
        rows = [row for row in self._collection.rows if self._parts[row.patient] == name]
        files = [self._collection.root / row.name for row in rows]

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            chosen = [files[position] for position in index]
            return read_pictures(chosen, self.image, self.settings.bits)

        return gvr.Split(
            sample_ids=np.array([row.name for row in rows], dtype=np.str_),
            patient_ids=np.array([row.patient for row in rows], dtype=np.str_),
            targets=np.array([[row.bnp] for row in rows], np.float32),
            images=images,
        )

    def cautions(self) -> tuple[str, ...]:
        """Which patients are spelt in several ways, and what the size of images hides."""
        collection = self._collection
        files = [collection.root / row.name for row in collection.rows]
        return (*collection.cautions, *small_size(files, "radiographs", self.settings.size))

    def read(self, file: Path) -> NDArray[np.uint8]:
        """Read a new image as those of the folder, with the bits that they use."""
        return np.asarray(read_pictures([file], self.image, self.settings.bits)[0])

    @functools.cached_property
    def _collection(self) -> Collection:
        try:
            return open_collection(self.root)
        except OSError as error:
            raise gvr.DataError(f"cannot read {self.root}: {error}") from error

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        rows, settings = self._collection.rows, self.settings
        parts = split_patients(
            [row.patient for row in rows],
            settings.seed,
            test=settings.test,
            validation=settings.validation,
        )
        # Otherwise fitting a head would fail, after hours of training a generator.
        empty = set(parts.values()) - {parts[row.patient] for row in rows if not np.isnan(row.bnp)}
        if empty:
            raise gvr.DataError(
                f"no image of the {' and '.join(sorted(empty))} split is labelled: fill in bnp for "
                f"more patients in {self._collection.root / _TABLE}, or split them otherwise with "
                f"--dataset radiographs:seed={settings.seed + 1}"
            )
        return parts


@dataclass(frozen=True)
class Row:
    """One image, its patient, and BNP in ng/L or NaN."""

    name: str
    patient: str
    bnp: float


@dataclass(frozen=True)
class Collection:
    """The images in the order of the table, and a digest that does not depend on `root`."""

    root: Path
    rows: list[Row]
    digest: str
    cautions: tuple[str, ...]


def open_collection(root: Path | None) -> Collection:
    """Read everything but the images. Raises `DataError`."""
    if root is None:
        raise gvr.DataError(f"radiographs was given no folder to look in; {_NEEDS}")
    table = root / _TABLE
    if not table.is_file():
        raise gvr.DataError(f"no {_TABLE} in {root}; {_NEEDS}")
    rows = read_rows(table, root)
    sizes = find_sizes((row.name for row in rows), table, root)
    spelling, cautions = unify_patients(row.patient for row in rows)
    rows = [replace(row, patient=spelling[row.patient]) for row in rows]
    return Collection(root, rows, digest_sizes(table.read_bytes(), sizes), cautions)


def read_rows(table: Path, root: Path) -> list[Row]:
    """Read the table in its order. Raises `DataError` naming the line."""
    rows: dict[str, Row] = {}
    for line, (cell, patient, bnp) in read_records(table, root, _COLUMNS):
        where = f"{table}, line {line}"
        name = check_name(cell, where)
        if name in rows:
            raise gvr.DataError(f"{where}: {name!r} has a row already; one row per image expected")
        rows[name] = Row(name, check_patient(patient, name, where), _bnp(bnp, where))
    if not rows:
        raise gvr.DataError(f"{table} has a header but no rows")
    if all(np.isnan(row.bnp) for row in rows.values()):
        raise gvr.DataError(f"no row of {table} has a bnp; at least one patient per split needs it")
    return list(rows.values())


def _bnp(cell: str, where: str) -> float:
    if cell in MISSING:
        return float("nan")
    try:
        value = 0.0 if "_" in cell else float(cell)
    except ValueError:
        value = 0.0
    if not _MIN <= value <= _MAX:
        raise gvr.DataError(
            f"{where}: bnp {cell!r} is not a positive number of ng/L; leave the cell empty where "
            "it is not known"
        )
    return value
