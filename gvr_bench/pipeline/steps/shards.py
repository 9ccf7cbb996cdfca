"""Work on cases part by part: stored parts let a killed stage go on, and other processes help.

A part depends on its cases alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import ARRAYS, read_hashed, write_hashed
from gvr_bench.cache.hdf5 import count_rows
from gvr_bench.cache.integrity import WORK
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.stage_context import StageContext

BATCHES = 4  # of cases in a part, to be worth a task of its own
MIN_SECONDS = 0.5  # that a part takes to be worth storing
SECONDS, INPUT_DIGESTS = "seconds of the part", "made from"

Arrays = dict[str, NDArray[Any]]
Work = Callable[[slice], Arrays]  # rows of the cases -> their results


def count_cases(cache: ArtifactCache, stage: Stage) -> int:
    """Return how many cases a stage works on. Raises `CorruptStageError`."""
    path = cache.file(stage.input("cases"), "cases.h5")
    return count_rows(path, "position")


def cut(rows: slice, batch_size: int) -> list[slice]:
    """Cut rows of the cases into parts."""
    size = BATCHES * batch_size
    return [slice(at, min(at + size, rows.stop)) for at in range(rows.start, rows.stop, size)]


def batches(stage_ctx: StageContext, rows: slice) -> Iterator[slice]:
    """Cut a part into batches, showing progress."""
    total = count_cases(stage_ctx.cache, stage_ctx.stage)
    for start in range(rows.start, rows.stop, stage_ctx.ctx.batch_size):
        stage_ctx.ctx.progress(start, total, "")
        yield slice(start, min(start + stage_ctx.ctx.batch_size, rows.stop))


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Put the arrays of parts together."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def in_parts(
    stage_ctx: StageContext, prepare: Callable[[StageContext], Work]
) -> Iterator[tuple[slice, Arrays]]:
    """Yield each part with its results, computed now or stored.

    `prepare` loads what the work needs; it is not called if all parts are stored.
    """
    parts = cut(slice(0, count_cases(stage_ctx.cache, stage_ctx.stage)), stage_ctx.ctx.batch_size)
    yield from computed(stage_ctx, prepare, parts, MIN_SECONDS if len(parts) > 1 else math.inf)


def compute_part_of(
    stage_ctx: StageContext, prepare: Callable[[StageContext], Work], rows: slice
) -> None:
    """Compute a part and store it, in smaller parts if memory is short."""
    for _ in computed(stage_ctx, prepare, cut(rows, stage_ctx.ctx.batch_size), 0.0):
        pass


def computed(
    stage_ctx: StageContext,
    prepare: Callable[[StageContext], Work],
    parts: Sequence[slice],
    slow: float,
) -> Iterator[tuple[slice, Arrays]]:
    """Yield parts with their results, storing those that took `slow` seconds or longer."""
    stored, work = StoredParts(stage_ctx), None
    for rows in parts:
        arrays = stored.load(rows)
        if arrays is None:
            work = work or prepare(stage_ctx)
            began = time.monotonic()
            arrays = work(rows)
            seconds = time.monotonic() - began
            if seconds >= slow:
                stored.save(rows, arrays, seconds)
        yield rows, arrays


class StoredParts:
    """The parts of one stage in its folder of checkpoints; none without checkpoints.

    Parts that were computed from other inputs are ignored.
    """

    def __init__(self, stage_ctx: StageContext) -> None:
        self.stage_ctx = stage_ctx
        self.enabled = stage_ctx.ctx.checkpoints is not None
        self.work = stage_ctx.cache.write_dir(stage_ctx.stage) / WORK
        self.input_digests = np.array(
            sorted(stage_ctx.cache.digests(stage_ctx.stage.inputs.values()).values()), str
        )

    def load(self, rows: slice) -> Arrays | None:
        """Return a part; None if it is not stored, or damaged."""
        for path in self.work.glob(f"{stem(rows)}-*") if self.enabled else ():
            arrays: Arrays | None = read_hashed(path, ARRAYS)
            if arrays and np.array_equal(arrays.pop(INPUT_DIGESTS), self.input_digests):
                self.stage_ctx.earlier += float(arrays.pop(SECONDS))
                return arrays
        return None

    def save(self, rows: slice, arrays: Arrays, seconds: float) -> None:
        """Store a part that took so long. Raises `CacheError`."""
        if self.enabled:
            origin = {SECONDS: np.array(seconds), INPUT_DIGESTS: self.input_digests}
            write_hashed(self.work, stem(rows), arrays | origin, ARRAYS)


def stem(rows: slice) -> str:
    """Name a part; files of this name count as checkpoints when the cache is cleaned."""
    return f"checkpoint-{rows.start}-{rows.stop}"
