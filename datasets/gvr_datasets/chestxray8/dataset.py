"""The data set `chestxray8`."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_bench.api import Placement, place, read_extent, read_pictures
from gvr_datasets.chestxray8.downloads import RELEASE
from gvr_datasets.chestxray8.files import Release, open_release
from gvr_datasets.chestxray8.tables import FINDINGS, RELEASE_EDGE, Box, Row
from gvr_datasets.region_files import read_regions
from gvr_datasets.regions import Regions
from gvr_datasets.size_caution import small_size
from gvr_datasets.splits import SIZES, split_patients

_TEST_SHARE = 0.2


class ChestXray8(gvr.Dataset):
    """Frontal radiographs of the NIH Clinical Center with eight findings mined from reports.

    The folder is read as it is downloaded. The official lists decide what is tested; without
    them a fifth of the patients does. Boxes, drawn on about 1,000 images, are the truth, or the
    polygons of ChestX-Det.
    """

    version = "2"
    head = "residual"
    profiles = SIZES

    class Settings(gvr.Settings):
        """How the images are read and split.

        `validation` is the share of the patients not used for testing; `seed` decides which.
        `missing` says what happens to rows of the table whose image is not on disk, `skip` which
        share of the images may be left out because their files cannot be read. `regions` replaces
        the list of boxes: a JSON file of ChestX-Det in the folder, or `nih`, the boxes that come
        with torchxrayvision.
        """

        size: int = Field(default=128, ge=8, le=1024)
        seed: int = Field(default=0, ge=0)
        validation: float = Field(default=0.125, gt=0, lt=1)
        missing: Literal["error", "skip"] = "error"
        skip: float = Field(default=0.01, ge=0, lt=1)
        regions: str = ""

    @property
    def task(self) -> gvr.Task:
        """Which of the eight findings are there."""
        return gvr.Task(kind="multilabel", outputs=FINDINGS)

    @property
    def image(self) -> gvr.ImageSpec:
        """One grey channel, letterboxed to a square."""
        return gvr.ImageSpec(channels=1, size=self.settings.size)

    def remote(self) -> tuple[gvr.Remote, ...]:
        """Tables, lists and the twelve archives, as the NIH offers them: 45 GB."""
        return RELEASE

    def fingerprint(self) -> str:
        """Digest of labels, lists and boxes, and of the names and sizes of the images."""
        return self._release.digest + (f" {self._regions.digest}" if self._regions else "")

    def split(self, name: str) -> gvr.Split:
        """The images of that split in the order of the table. Raises `DataError`."""
        release, image = self._release, self.image
        rows = [row for row in release.rows if self._parts[row.patient] == name]
        files = [release.file(row) for row in rows]

        def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
            return read_pictures([files[position] for position in index], image)

        def truth(index: NDArray[np.int64], output: NDArray[np.int64]) -> gvr.GroundTruth:
            pairs = [(rows[i], FINDINGS[k]) for i, k in zip(index, output, strict=True)]
            if (regions := self._regions) is not None:
                masks = [
                    regions.mask(
                        row.name, release.file(row), regions.findings(k, FINDINGS), image.size
                    )
                    for row, k in pairs
                ]
                return gvr.GroundTruth(mask=np.stack(masks))
            return gvr.GroundTruth(mask=_masks(release, pairs, image.size))

        return gvr.Split(
            sample_ids=np.array([row.name for row in rows], dtype=np.str_),
            patient_ids=np.array([row.patient for row in rows], dtype=np.str_),
            targets=np.array(
                [[finding in row.findings for finding in FINDINGS] for row in rows], np.float32
            ),
            images=images,
            truth=truth if self._regions or release.boxes is not None else None,
        )

    def cautions(self) -> tuple[str, ...]:
        """What the size of images hides."""
        files = [self._release.file(row) for row in self._release.rows]
        return tuple(small_size(files, "chestxray8", self.settings.size))

    @functools.cached_property
    def _regions(self) -> Regions | None:
        if not self.settings.regions or self.root is None:
            return None
        return read_regions(self.root, self.settings.regions, "file")

    @functools.cached_property
    def _release(self) -> Release:
        try:
            return open_release(self.root, self.settings.missing)
        except OSError as error:
            raise gvr.DataError(f"cannot read {self.root}: {error}") from error

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        rows, listed = self._release.rows, self._release.test
        return split_patients(
            [row.patient for row in rows],
            self.settings.seed,
            test=_TEST_SHARE if listed is None else {r.patient for r in rows if r.name in listed},
            validation=self.settings.validation,
        )


def _masks(release: Release, pairs: list[tuple[Row, str]], size: int) -> NDArray[np.bool_]:
    assert release.boxes is not None
    masks = np.zeros((len(pairs), size, size), dtype=np.bool_)
    for mask, (row, finding) in zip(masks, pairs, strict=True):
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
