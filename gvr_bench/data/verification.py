"""Whether the files of a data set are the published ones, and its images can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Archive, Remote
from gvr_bench.core.types import SPLITS, Split
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
) -> Iterator[tuple[str, NDArray[np.str_], NDArray[np.uint8]]]:
    """Yield split, sample ids (n,) and images (n, C, H, W) of a sample or of all, in batches.

    Images that cannot be read are left out and named in `unreadable`.
    """
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
