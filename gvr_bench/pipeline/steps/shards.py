"""Work part by part: stored parts let a killed stage go on, and other processes help with cases.

A part depends on its cases alone. The process that has taken the stage computes parts from the
first on, helpers from the last; a part that a helper fails at, or dies in, is left to the former.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import ARRAYS, read_hashed, write_hashed
from gvr_bench.cache.hdf5 import count_rows
from gvr_bench.cache.integrity import WORK
from gvr_bench.cache.locks import locked, locked_if_free
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
    size = BATCHES * batch_size
    return [slice(at, min(at + size, rows.stop)) for at in range(rows.start, rows.stop, size)]


def batches(stage_ctx: StageContext, rows: slice) -> Iterator[slice]:
    total = count_cases(stage_ctx.cache, stage_ctx.stage)
    for start in range(rows.start, rows.stop, stage_ctx.ctx.batch_size):
        stage_ctx.ctx.progress(start, total, "")
        yield slice(start, min(start + stage_ctx.ctx.batch_size, rows.stop))


def joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def in_parts(
    stage_ctx: StageContext, prepare: Callable[[StageContext], Work]
) -> Iterator[tuple[slice, Arrays]]:
    """Yield each part with its results, computed now or stored.

    `prepare` loads what the work needs; it is not called if all parts are stored.
    """
    parts, stored, work = parts_of(stage_ctx), StoredParts(stage_ctx), None
    slow = MIN_SECONDS if len(parts) > 1 else math.inf
    for rows in parts:
        with stored.held(rows) if len(parts) > 1 else contextlib.nullcontext():
            arrays = stored.load(name_of(rows))
            if arrays is None:
                work = work or prepare(stage_ctx)
                arrays = stored.compute(name_of(rows), functools.partial(work, rows), slow)
        yield rows, arrays


def compute_free_parts(stage_ctx: StageContext, prepare: Callable[[StageContext], Work]) -> bool:
    """Compute and store the parts that no process has taken up, the last first.

    Returns whether there were any. A single part belongs to the process that has taken the stage.
    """
    parts, stored, work = parts_of(stage_ctx), StoredParts(stage_ctx), None
    for rows in reversed(parts if len(parts) > 1 else []):
        with stored.held_if_new(rows) as free:
            if free and stored.load(name_of(rows)) is None:
                work = work or prepare(stage_ctx)
                stored.compute(name_of(rows), functools.partial(work, rows), 0.0)
    return work is not None


def parts_of(stage_ctx: StageContext) -> list[slice]:
    """Cut the cases of a stage into parts. Raises `CorruptStageError`."""
    return cut(slice(0, count_cases(stage_ctx.cache, stage_ctx.stage)), stage_ctx.ctx.batch_size)


def name_of(rows: slice) -> str:
    return f"{rows.start}-{rows.stop}"


class StoredParts:
    """Finished parts of one stage in its folder of checkpoints; none without checkpoints.

    Parts that were computed from other inputs are ignored. Files of these names count as
    checkpoints when the cache is cleaned.
    """

    def __init__(self, stage_ctx: StageContext) -> None:
        self.stage_ctx = stage_ctx
        self.enabled = stage_ctx.ctx.checkpoints is not None
        self.work = stage_ctx.cache.write_dir(stage_ctx.stage) / WORK
        self.input_digests = np.array(
            sorted(stage_ctx.cache.digests(stage_ctx.stage.inputs.values()).values()), str
        )

    @contextlib.contextmanager
    def held(self, rows: slice) -> Iterator[None]:
        """Keep helpers from a part, waiting for one that computes it."""
        with contextlib.ExitStack() as stack:
            if self.enabled:
                with self.stage_ctx.cache.writing():
                    stack.enter_context(locked(self.lock_file(rows)))
            yield

    @contextlib.contextmanager
    def held_if_new(self, rows: slice) -> Iterator[bool]:
        """Hold a part that no process has held yet; yields whether it is held."""
        try:
            self.lock_file(rows).open("x").close()
        except OSError:  # it exists, or the stage is complete
            yield False
            return
        with locked_if_free(self.lock_file(rows)) as free:
            yield free

    def lock_file(self, rows: slice) -> Path:
        return self.work / f"part-{name_of(rows)}.lock"

    def compute(self, name: str, work: Callable[[], Arrays], slow: float) -> Arrays:
        """Compute a part, and store it if that takes `slow` seconds. Raises `CacheError`."""
        began = time.monotonic()
        arrays = work()
        seconds = time.monotonic() - began
        if self.enabled and seconds >= slow:
            origin = {SECONDS: np.array(seconds), INPUT_DIGESTS: self.input_digests}
            write_hashed(self.work, f"checkpoint-{name}", arrays | origin, ARRAYS)
        return arrays

    def load(self, name: str) -> Arrays | None:
        """Return a part; None if it is not stored, or damaged."""
        for path in self.work.glob(f"checkpoint-{name}-*") if self.enabled else ():
            arrays: Arrays | None = read_hashed(path, ARRAYS)
            if arrays and np.array_equal(arrays.pop(INPUT_DIGESTS), self.input_digests):
                self.stage_ctx.earlier += float(arrays.pop(SECONDS))
                return arrays
        return None
