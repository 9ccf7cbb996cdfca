"""The data set `folder`."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

import gvr_bench.api as gvr
from gvr_bench.api import read_mask, read_pictures
from gvr_datasets.folder.listing import SPLITS, Listing, open_listing
from gvr_datasets.folder.tasks import Targets, TaskSettings, read_task
from gvr_datasets.splits import SIZES, split_patients


def _as_integer(value: Any) -> Any:
    """Read a number as it comes from a command line."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class ImageFolder(gvr.Dataset):
    """Your own images (PNG, JPEG, TIFF or DICOM) with a table, or in one subfolder per class.

    The table is a CSV file in the folder with the columns `file`, `patient` (without it each
    image is its own), what is to be predicted, `split` (train, validation or test), `mask`
    (an image that marks the finding) and `lung_mask` (one that marks where findings may lie). Only
    `file` and a column to predict are required.
    Names of files and patients appear in reports: use pseudonyms.
    """

    head = "linear"
    case_settings = frozenset({"source", "target"})
    profiles = SIZES

    class Settings(TaskSettings):
        """How the images are read and split, beside what is predicted.

        `channels` is 1 for grey and 3 for colour. Where the table has no column `split`, `test`
        is a share of the patients and `validation` of those not used for testing; `seed` decides
        which. `skip` is the share of the images that may be left out because their files cannot
        be read. `lung_masks` is a folder with masks of the lungs, named like the images, for those
        without one in the table.
        """

        table: str = "table.csv"
        size: int = Field(default=128, ge=8, le=1024)
        channels: Annotated[Literal[1, 3], BeforeValidator(_as_integer)] = 1
        seed: int = Field(default=0, ge=0)
        test: float = Field(default=0.2, gt=0, lt=1)
        validation: float = Field(default=0.1, gt=0, lt=1)
        skip: float = Field(default=0.01, ge=0, lt=1)
        lung_masks: str = ""

    settings: Settings

    @property
    def task(self) -> gvr.Task:
        """The task of the label columns. Raises `DataError` or `UsageError`."""
        return self._labels[0]

    @property
    def image(self) -> gvr.ImageSpec:
        """Letterboxed to a square."""
        return gvr.ImageSpec(channels=self.settings.channels, size=self.settings.size)

    def fingerprint(self) -> str:
        """Digest of the table, and of the names and sizes of the images."""
        return self._listing.digest

    def split(self, name: str) -> gvr.Split:
        """The images of that split in the order of the table. Raises `DataError`."""
        listing = self._listing
        chosen = [i for i, row in enumerate(listing.rows) if self._parts[row.patient] == name]
        rows = [listing.rows[i] for i in chosen]
        files = [listing.root / row.name for row in rows]

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            return read_pictures([files[position] for position in index], self.image)

        def truth(index: NDArray[np.int64], _: NDArray[np.int64]) -> gvr.GroundTruth:
            return gvr.GroundTruth(mask=self._masks([(rows[i].name, rows[i].mask) for i in index]))

        def region(index: NDArray[np.int64]) -> NDArray[np.bool_]:
            return self._masks([(rows[i].name, rows[i].lung_mask) for i in index])

        return gvr.Split(
            sample_ids=np.array([row.name for row in rows], dtype=np.str_),
            patient_ids=np.array([row.patient for row in rows], dtype=np.str_),
            targets=self._labels[1][chosen],
            images=images,
            truth=truth if any(row.mask for row in listing.rows) else None,
            region=region if any(row.lung_mask for row in listing.rows) else None,
        )

    def _masks(self, files: list[tuple[str, str]]) -> NDArray[np.bool_]:
        """Read the masks of images, as pairs of an image and its mask, which may be empty."""
        size, root = self.settings.size, self._listing.root
        masks = np.zeros((len(files), size, size), dtype=np.bool_)
        for mask, (name, file) in zip(masks, files, strict=True):
            if file:
                mask[:] = read_mask(root / file, root / name, size)
        return masks

    @functools.cached_property
    def _listing(self) -> Listing:
        try:
            s = self.settings
            return open_listing(
                self.root,
                s.table,
                s.targets,
                labelled=s.task != "none",
                lung_masks=s.lung_masks,
            )
        except OSError as error:
            raise gvr.DataError(f"cannot read {self.root}: {error}") from error

    @functools.cached_property
    def _labels(self) -> tuple[gvr.Task, Targets]:
        return read_task(self._listing, self.settings)

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        """The split of each patient. Raises `DataError` if a split has no labels."""
        listing, settings = self._listing, self.settings
        if listing.rows[0].split:
            parts = _table_splits(listing, settings)
            advice = "or move patients between the splits"
        else:
            parts = split_patients(
                [row.patient for row in listing.rows],
                settings.seed,
                test=settings.test,
                validation=settings.validation,
            )
            advice = f"or split them otherwise with --dataset folder:seed={settings.seed + 1}"
        if settings.task == "none":
            return parts
        known = np.flatnonzero(~np.isnan(self._labels[1]).any(axis=1))
        labelled = {parts[listing.rows[position].patient] for position in known}
        empty = [name for name in SPLITS if name not in labelled]
        # Otherwise fitting a head would fail, after hours of training a generator.
        if empty:
            raise gvr.DataError(
                f"no image of the {' and '.join(empty)} split is labelled: fill in "
                f"{', '.join(listing.columns)} for more patients in {listing.source}, {advice}"
            )
        return parts


def _table_splits(listing: Listing, settings: ImageFolder.Settings) -> dict[str, str]:
    """The split of each patient by the table, or by folders.

    Where no image is for validation, patients of the training split are. Raises `DataError`.
    """
    parts: dict[str, str] = {}
    for row in listing.rows:
        if parts.setdefault(row.patient, row.split) != row.split:
            raise gvr.DataError(
                f"{row.where}: patient {row.patient!r} is in {row.split} and in "
                f"{parts[row.patient]}; all images of a patient belong in one split"
            )
    tested = {patient for patient, split in parts.items() if split == "test"}
    if tested and set(parts.values()) == {"train", "test"}:
        return split_patients(parts, settings.seed, test=tested, validation=settings.validation)
    absent = [name for name in SPLITS if name not in parts.values()]
    if absent:
        raise gvr.DataError(
            f"{listing.source} has no {' and no '.join(absent)} images; train, validation and "
            "test need images of at least one patient each"
        )
    return parts
