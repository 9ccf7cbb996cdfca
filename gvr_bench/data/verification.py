"""Whether the files of a data set are what they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gvr_bench.core.components import Dataset
from gvr_bench.core.errors import DataError
from gvr_bench.core.remote_files import Remote, Watch, digest_of_content, fault_of, recorded
from gvr_bench.core.types import SPLITS, Split
from gvr_bench.data.fetch import not_unpacked, unpacked_files

SAMPLE = 100  # images of each split
BATCH = 64  # images read at once
PNG = b"\x89PNG\r\n\x1a\n"

Count = Callable[[int, int, str], None]


def faults_of_files(dataset: Dataset, watch: Watch) -> Iterator[str]:
    """Say what is wrong with the files that were downloaded or unpacked. Raises `DataError`."""
    folder = dataset.home
    if folder is None:
        return
    for remote in dataset.remote():
        yield from _faults_of_one(remote, folder, watch)


def _faults_of_one(remote: Remote, folder: Path, watch: Watch) -> Iterator[str]:
    path = folder / remote.name
    partial = path.with_name(f".{path.name}.partial")
    if path.is_file():
        if fault := fault_of(path, remote, watch) or _unlike_recorded(path, remote, folder, watch):
            yield f"{path}: {fault}"
    elif partial.is_file():
        yield f"{path}: {partial.stat().st_size:,} of {remote.size:,} bytes were downloaded"
    elif other := next((name for name in remote.instead if (folder / name).is_file()), ""):
        digest = remote.instead[other]
        if digest and digest_of_content(folder / other, digest, False, watch) != digest:
            yield f"{folder / other}: it is another file than the published one"
    elif not remote.archive:
        yield f"{path}: it is not there"
    if remote.archive:
        yield from _faults_of_unpacked(remote, folder)


def _unlike_recorded(path: Path, remote: Remote, folder: Path, watch: Watch) -> str:
    """Compare a file without a published digest with what was written down when it came."""
    if remote.digest or not (digest := recorded(folder).get(remote.name, "")):
        return ""
    actual = digest_of_content(path, digest, remote.gzipped, watch)
    return "" if actual == digest else "it has changed since it was downloaded"


def _faults_of_unpacked(remote: Remote, folder: Path) -> Iterator[str]:
    assert remote.archive is not None
    wrong = not_unpacked(remote.name, remote.archive, folder)
    if wrong is None:
        return
    for name in wrong:
        yield f"{folder / name}: it is not there, or not of the size it had in {remote.name}"
    for name in unpacked_files(remote.name, remote.archive, folder) or {}:
        if name in wrong or not name.endswith(".png"):
            continue
        with (folder / name).open("rb") as file:
            if file.read(len(PNG)) != PNG:
                yield f"{folder / name}: it does not begin as a PNG does"


def faults_of_images(dataset: Dataset, every: bool, count: Count) -> Iterator[str]:
    """Read images as a run does, a sample or all of them, and say which cannot be."""
    try:
        dataset.fingerprint()
        splits = [dataset.split(name) for name in SPLITS]
    except DataError as error:
        yield str(error)
        return
    chosen = [_chosen(len(split), every) for split in splits]
    done, total = 0, sum(map(len, chosen))
    for split, positions in zip(splits, chosen, strict=True):
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            yield from _unreadable(split, batch)
            done += len(batch)
            count(done, total, "images")


def _chosen(n: int, every: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions to read: all, or a sample that is the same every time."""
    if every or n <= SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))


def _unreadable(split: Split, batch: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[str]:
    try:
        split.images(batch)
    except DataError as error:
        if not error.unreadable:
            yield str(error)
        for position, reason in error.unreadable.items():
            yield f"{split.sample_ids[batch[position]]}: {reason}"
