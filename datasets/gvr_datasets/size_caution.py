"""Says where images are read smaller than they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import gvr_bench.api as gvr

_SAMPLE = 20  # images whose size is looked up


def small_size(files: Sequence[Path], dataset: str, size: int) -> Iterator[str]:
    """Yield a line where the images, by a sample of them, are larger than `size`."""
    step = max(1, len(files) // _SAMPLE)
    extents = []
    for file in files[::step][:_SAMPLE]:
        with contextlib.suppress(gvr.DataError):  # reading it will say so, and leave it out
            extents.append(gvr.read_extent(file))
    yield from smaller_than(extents, dataset, size)


def smaller_than(extents: Sequence[tuple[int, int]], dataset: str, size: int) -> Iterator[str]:
    """Yield a line where `size` is smaller than extents (width, height)."""
    largest = max(extents, key=max, default=(0, 0))
    if max(largest) <= size:
        return
    shown = " x ".join(map(str, largest))
    several = "up to " if len(set(extents)) > 1 else ""
    advice = f"--dataset {dataset}:size={min(max(largest), 1024)}"
    yield (
        f"images are {several}{shown} pixels large and are read at {size}: what is smaller than "
        f"{max(largest) / size:.1f} pixels is lost; for larger images, at more time, type {advice}"
    )
