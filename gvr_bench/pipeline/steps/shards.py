"""Stages that work on cases part after part and keep each: a killed stage goes on from there.

A part depends on nothing but its cases, so that several processes may compute parts of one stage.
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

BATCHES = 4  # of cases in a part: enough to be worth a task of its own
SLOW = 0.5  # seconds: what is computed faster than this is computed again instead
SECONDS, MADE_FROM = "seconds of the part", "made from"

Arrays = dict[str, NDArray[Any]]
Work = Callable[[slice], Arrays]  # rows of the cases -> what comes of them


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
    """Yield each part with what comes of it, computed now or kept.

    `prepare` loads what the work needs; where all parts are kept, it is not called.
    """
    parts = cut(slice(0, count_cases(stage_ctx.cache, stage_ctx.stage)), stage_ctx.ctx.batch_size)
    yield from computed(stage_ctx, prepare, parts, SLOW if len(parts) > 1 else math.inf)


def keep_part(
    stage_ctx: StageContext, prepare: Callable[[StageContext], Work], rows: slice
) -> None:
    """Compute a part, or the parts that it is cut into where memory is short, and keep it."""
    for _ in computed(stage_ctx, prepare, cut(rows, stage_ctx.ctx.batch_size), 0.0):
        pass


def computed(
    stage_ctx: StageContext,
    prepare: Callable[[StageContext], Work],
    parts: Sequence[slice],
    slow: float,
) -> Iterator[tuple[slice, Arrays]]:
    """Yield parts with what comes of them, keeping those that took `slow` seconds or longer."""
    kept, work = Kept(stage_ctx), None
    for rows in parts:
        found = kept.load(rows)
        if found is None:
            work = work or prepare(stage_ctx)
            began = time.monotonic()
            found = work(rows)
            seconds = time.monotonic() - began
            if seconds >= slow:
                kept.save(rows, found, seconds)
        yield rows, found


class Kept:
    """The parts of one stage in its folder of checkpoints; none where there are no checkpoints.

    A part that was made from other inputs than there are now is none.
    """

    def __init__(self, stage_ctx: StageContext) -> None:
        self.stage_ctx = stage_ctx
        self.keeps = stage_ctx.ctx.checkpoints is not None
        self.work = stage_ctx.cache.write_dir(stage_ctx.stage) / WORK
        self.made_from = np.array(
            sorted(stage_ctx.cache.digests(stage_ctx.stage.inputs.values()).values()), str
        )

    def load(self, rows: slice) -> Arrays | None:
        """Return a part; None where it is not whole."""
        for path in self.work.glob(f"{stem(rows)}-*") if self.keeps else ():
            found: Arrays | None = read_hashed(path, ARRAYS)
            if found and np.array_equal(found.pop(MADE_FROM), self.made_from):
                self.stage_ctx.earlier += float(found.pop(SECONDS))
                return found
        return None

    def save(self, rows: slice, arrays: Arrays, seconds: float) -> None:
        """Keep a part that took so long. Raises `CacheError` where the file system refuses."""
        if self.keeps:
            told = {SECONDS: np.array(seconds), MADE_FROM: self.made_from}
            write_hashed(self.work, stem(rows), arrays | told, ARRAYS)


def stem(rows: slice) -> str:
    """Name a part; as for trainings, what is named so is no leftover."""
    return f"checkpoint-{rows.start}-{rows.stop}"
