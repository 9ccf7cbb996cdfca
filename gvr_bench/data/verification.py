"""Whether files of a data set are the published ones, and what is odd of its images and masks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Archive, Remote
from gvr_bench.core.types import SPLITS, Bools, Bytes, Split, Texts
from gvr_bench.data.download import Progress, digest_of_content, fault_of, partial_path
from gvr_bench.data.fetch import damaged_members, unpacked_files

SAMPLE = 100  # images of each split
BATCH = 64  # images
PNG = b"\x89PNG\r\n\x1a\n"


def faults_of_files(dataset: Dataset, progress: Progress) -> Iterator[str]:
    """Yield a line for each wrong file that was downloaded or unpacked. Raises `DataError`."""
    folder = dataset.home
    if folder is None:
        return
    for remote in dataset.remote():
        yield from _faults_of_file(remote, folder, progress)
        if remote.archive:
            yield from _faults_of_unpacked(remote.name, remote.archive, folder)


def _faults_of_file(remote: Remote, folder: Path, progress: Progress) -> Iterator[str]:
    path = folder / remote.name
    partial = partial_path(path)
    if path.is_file():
        if fault := fault_of(path, remote, progress):
            yield f"{path}: {fault}"
    elif partial.is_file():
        yield f"{path}: {partial.stat().st_size:,} of {remote.size:,} bytes were downloaded"
    elif other := next((name for name in remote.instead if (folder / name).is_file()), ""):
        digest = remote.instead[other]
        if digest and digest_of_content(folder / other, digest, False, progress) != digest:
            yield f"{folder / other}: it is another file than the published one"
    elif not remote.archive:
        yield f"{path}: it is missing"


def _faults_of_unpacked(name: str, archive: Archive, folder: Path) -> Iterator[str]:
    damaged = damaged_members(name, archive, folder) or []
    for member in damaged:
        yield f"{folder / member}: it is missing, or not of the size it had in {name}"
    for member in unpacked_files(name, archive, folder) or {}:
        if member in damaged or not member.endswith(".png"):
            continue
        with (folder / member).open("rb") as file:
            if file.read(len(PNG)) != PNG:
                yield f"{folder / member}: it does not begin like a PNG"


def faults_of_images(
    dataset: Dataset, every: bool, count: Callable[[int, int, str], None]
) -> Iterator[str]:
    """Read images as a run does, a sample or all of them; yield a line for each unreadable one."""
    try:
        dataset.fingerprint()
        splits = [dataset.split(name) for name in SPLITS]
    except DataError as error:
        yield str(error)
        return
    samples = [_sample(len(split), every) for split in splits]
    done, total = 0, sum(map(len, samples))
    for split, positions in zip(splits, samples, strict=True):
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            try:
                split.images(batch)
            except DataError as error:
                if not error.unreadable:
                    yield str(error)
                for position, reason in error.unreadable.items():
                    yield f"{split.sample_ids[batch[position]]}: {reason}"
            done += len(batch)
            count(done, total, "images")


def read_sample(
    splits: Mapping[str, Split], every: bool, unreadable: list[str]
) -> Iterator[tuple[str, Texts, Bytes]]:
    """Yield split, ids (n,) and images (n, C, H, W) in batches; name others in `unreadable`."""
    for name, split in splits.items():
        positions = _sample(len(split), every)
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            try:
                images = split.images(batch)
            except DataError as error:
                if not error.unreadable:
                    raise
                bad = dict(error.unreadable)
                unreadable += [f"{split.sample_ids[batch[i]]} ({why})" for i, why in bad.items()]
                batch = np.delete(batch, list(bad))
                images = split.images(batch)
            yield name, split.sample_ids[batch], images


def _sample(n: int, every: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions to read: all, or a sample that is the same every time."""
    if every or n <= SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))


FEW_GREYS = 17  # what is left of 12 bits that are read as 16
_DIM = 32  # the brightest pixel of an image of at most 13 bits that are read as 16
_DARK = 127  # the brightest pixel of images whose upper bits are not used
_MOST = 0.5  # share of images; digits on black have few greys now and then
_COVERED = 0.9  # share of a picture from which a mask marks nearly all of it


class PixelChecks:
    """Looks at images as they are read, batch by batch, and remembers what is odd of each."""

    def __init__(self) -> None:
        self.total = 0
        self.brightest = 0
        self.constant: list[str] = []
        self.few_greys: list[str] = []
        self.dim: list[str] = []
        self.first: dict[bytes, tuple[str, str]] = {}
        self.doubles: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def add(self, split: str, sample_ids: Texts, images: Bytes) -> None:
        """Look at images (n, C, H, W) of a split."""
        self.total += len(images)
        self.brightest = max(self.brightest, int(images.max(initial=0)))
        for sample_id, image in zip(sample_ids.tolist(), images, strict=True):
            greys = np.count_nonzero(np.bincount(image.ravel(), minlength=256))
            if greys <= 2 and is_constant(image):
                self.constant.append(sample_id)
                continue
            if greys <= FEW_GREYS:
                self.few_greys.append(sample_id)
            if image.max() <= _DIM:
                self.dim.append(sample_id)
            digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            other, name = self.first.setdefault(digest, (split, sample_id))
            if other != split:
                self.doubles.setdefault((split, other), []).append((sample_id, name))

    def cautions(self, dataset: str, has_bits: bool) -> Iterator[str]:
        """Yield a line for each kind of oddity.

        `has_bits` says whether the data set has the setting `bits`.
        """
        if self.constant:
            yield (
                f"{_count(self.constant, self.total)} one colour throughout (the first is "
                f"{self.constant[0]!r}): nothing can be seen in them; look at the files, and "
                "remove their rows"
            )
        varied = self.total - len(self.constant)
        if varied and self.brightest <= _DARK:
            yield self._dark(dataset, has_bits)
        elif self.dim:
            yield (
                f"{_count(self.dim, self.total)} nearly black, with no pixel above {_DIM} of 255 "
                f"(the first is {self.dim[0]!r}), and others are not; if these files use fewer "
                "bits, convert them to the full range"
            )
        if varied and self.brightest > _DARK and len(self.few_greys) > _MOST * varied:
            yield (
                f"{_count(self.few_greys, self.total, 'have')} at most {FEW_GREYS} of 256 greys "
                f"(the first is {self.few_greys[0]!r}); if they were converted from more, convert "
                "them again with their full range"
            )
        doubles = sorted(
            self.doubles.items(), key=lambda d: (-SPLITS.index(d[0][0]), SPLITS.index(d[0][1]))
        )
        for (split, other), pairs in doubles:
            name, twin = pairs[0]
            yield (
                f"{len(pairs):,} images of {split} are the same as images of {other} (the first is "
                f"{name!r}, as {twin!r}): scores of them are not those of new images; remove one "
                "of each pair, or give both the same patient"
            )

    def _dark(self, dataset: str, has_bits: bool) -> str:
        bits = math.ceil(math.log2(max(self.brightest - 0.5, 1) * 257))
        advice = (
            f"if 16-bit files use {bits} bits, type --dataset {dataset}:bits={bits}"
            if has_bits and 9 <= bits < 16
            else "scale them to the full range"
        )
        return (
            f"no pixel of the {self.total:,} images is brighter than {self.brightest} of 255: "
            f"{advice}"
        )


def _count(names: list[str], total: int, verb: str = "are") -> str:
    return f"{len(names):,} of {total:,} images {verb}"


def is_constant(image: Bytes) -> bool:
    """Whether an image (C, H, W) shows one colour, beside black bars around it."""
    lit = np.asarray(image.any(axis=0))
    if not lit.any():
        return True
    inside = image[:, *_box(lit)]
    return bool((inside == inside[:, :1, :1]).all())


def _box(lit: Bools) -> tuple[slice, slice]:
    """Rows and columns of a square (H, W) that are not black throughout."""
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class MaskChecks:
    """Looks at masks of positive cases, batch by batch."""

    def __init__(self) -> None:
        self.total = 0
        self.full: list[str] = []
        self.empty: list[str] = []

    def add(self, sample_ids: Texts, masks: Bools, images: Bytes) -> None:
        """Look at masks (n, H, W) of images (n, C, H, W)."""
        self.total += len(masks)
        for sample_id, mask, image in zip(sample_ids.tolist(), masks, images, strict=True):
            if not mask.any():
                self.empty.append(sample_id)
            elif _share(mask, image) > _COVERED:
                self.full.append(sample_id)

    def cautions(self) -> Iterator[str]:
        """Yield lines on masks that mark nearly all, or nothing though the label is positive.

        Where no mask marks anything, none is known, and nothing is said.
        """
        if self.full:
            yield (
                f"masks of {len(self.full):,} of {self.total:,} cases mark nearly all of the image "
                f"(the first is {self.full[0]!r}); if they mark the background, invert them: any "
                "colour but black marks"
            )
        if 0 < len(self.empty) < self.total:
            yield (
                f"{len(self.empty):,} of {self.total:,} cases have no mask, or one that marks "
                f"nothing, though their label is positive (the first is {self.empty[0]!r}): no "
                "score against masks counts them"
            )


def _share(mask: Bools, image: Bytes) -> float:
    lit = np.asarray(image.any(axis=0))
    rows, columns = _box(lit) if lit.any() else (slice(None), slice(None))
    return float(mask[rows, columns].mean())
