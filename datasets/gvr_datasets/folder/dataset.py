"""The data set `folder`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

import gvr_bench.api as gvr
from gvr_bench.api import read_mask, read_pictures
from gvr_datasets.folder.listing import Columns, Source, open_listing
from gvr_datasets.folder.rows import SPLITS, Listing, Row
from gvr_datasets.folder.tasks import Targets, TaskSettings, read_task
from gvr_datasets.region_files import read_regions
from gvr_datasets.regions import Regions
from gvr_datasets.size_caution import small_size
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

    version = "2"

    head = "linear"
    case_settings = frozenset({"source", "target"})
    profiles = SIZES

    class Settings(TaskSettings):
        """How the images are read and split, beside what is predicted.

        `file`, `patient`, `split` and `mask` are the names of these columns, `images` is the folder
        of the images where the table leaves it out. `regions` marks findings beside or instead of
        masks: a CSV file of boxes or a JSON file of ChestX-Det in the folder, or a table that comes
        with torchxrayvision: nih, rsna, siim or vindr. `channels` is 1 for grey and 3 for colour,
        `bits` how many are used of 16-bit images. Where the table has no column `split`, `test`
        is a share of the patients and `validation` of those not used for testing; `seed` decides
        which. `skip` is the share of the images that may be left out because their files cannot
        be read. `lung_masks` is a folder with masks of the lungs, named like the images, for those
        without one in the table. Where there is no column of patients, `patient_separator` ends the
        patient in a file's name: `_` in `person1_virus_6.jpeg`.
        """

        table: str = "table.csv"
        file: str = "file"
        patient: str = "patient"
        split: str = "split"
        mask: str = "mask"
        images: str = ""
        regions: str = ""
        bits: int = Field(default=16, ge=9, le=16)
        size: int = Field(default=128, ge=8, le=1024)
        channels: Annotated[Literal[1, 3], BeforeValidator(_as_integer)] = 1
        seed: int = Field(default=0, ge=0)
        test: float = Field(default=0.2, gt=0, lt=1)
        validation: float = Field(default=0.1, gt=0, lt=1)
        skip: float = Field(default=0.01, ge=0, lt=1)
        lung_masks: str = ""
        patient_separator: str = ""

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
        """Digest of the table, of the regions, and of the names and sizes of the images."""
        regions = self._regions
        return self._listing.digest + (f" {regions.digest}" if regions else "")

    def split(self, name: str) -> gvr.Split:
        """The images of that split in the order of the table. Raises `DataError`."""
        listing = self._listing
        chosen = [i for i, row in enumerate(listing.rows) if self._parts[row.patient] == name]
        rows = [listing.rows[i] for i in chosen]
        files = [listing.root / row.name for row in rows]

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            chosen = [files[position] for position in index]
            return read_pictures(chosen, self.image, self.settings.bits)

        def truth(index: NDArray[np.int64], output: NDArray[np.int64]) -> gvr.GroundTruth:
            masks = [self._mask(rows[i], int(k)) for i, k in zip(index, output, strict=True)]
            return gvr.GroundTruth(mask=np.stack(masks))

        def region(index: NDArray[np.int64]) -> NDArray[np.bool_]:
            return np.stack([self._lungs(rows[i]) for i in index])

        return gvr.Split(
            sample_ids=np.array([row.name for row in rows], dtype=np.str_),
            patient_ids=np.array([row.patient for row in rows], dtype=np.str_),
            targets=self._labels[1][chosen],
            images=images,
            truth=truth if self._regions or any(row.masks for row in listing.rows) else None,
            region=region if any(row.lung_mask for row in listing.rows) else None,
        )

    def cautions(self) -> tuple[str, ...]:
        """What was left out or taken for something else, and what the size of images hides."""
        listing = self._listing
        files = [listing.root / row.name for row in listing.rows]
        return (*listing.cautions, *small_size(files, "folder", self.settings.size))

    def read(self, file: Path) -> NDArray[np.uint8]:
        """Read a new image as those of the folder, with the bits that they use."""
        return np.asarray(read_pictures([file], self.image, self.settings.bits)[0])

    def _lungs(self, row: Row) -> NDArray[np.bool_]:
        """What the mask of the lungs marks (size, size), nothing where there is none."""
        size, root = self.settings.size, self._listing.root
        if not row.lung_mask:
            return np.zeros((size, size), dtype=np.bool_)
        return read_mask(root / row.lung_mask, root / row.name, size)

    def _mask(self, row: Row, output: int) -> NDArray[np.bool_]:
        """What the masks and regions of an image mark (size, size) of an output."""
        size, root = self.settings.size, self._listing.root
        mask = np.zeros((size, size), dtype=np.bool_)
        for name in row.masks:
            mask |= read_mask(root / name, root / row.name, size)
        if self._regions:
            outputs = self.task.outputs
            findings = self._regions.findings(outputs[output], outputs)
            mask |= self._regions.mask(row.name, root / row.name, findings, size)
        return mask

    @functools.cached_property
    def _regions(self) -> Regions | None:
        if not self.settings.regions or self.root is None:
            return None
        regions = read_regions(self.root, self.settings.regions, self.settings.file)
        if not any(regions.find(row.name, None) for row in self._listing.rows):
            raise gvr.DataError(
                f"regions={self.settings.regions} marks none of the images of "
                f"{self._listing.source}; name them as it does, like {next(iter(regions.of), '')!r}"
            )
        regions.findings(self.task.outputs[0], self.task.outputs)
        return regions

    @functools.cached_property
    def _listing(self) -> Listing:
        try:
            s = self.settings
            columns = Columns(s.file, s.patient, s.split, s.mask)
            source = Source(s.table, columns, s.images, s.lung_masks, s.patient_separator)
            return open_listing(self.root, source, s.targets, labelled=s.task != "none")
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
