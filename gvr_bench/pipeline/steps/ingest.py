"""Stores what has been read of a data set, so that a killed stage goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gvr_bench.cache.checkpoints import STATE, read_hashed, write_hashed
from gvr_bench.cache.integrity import WORK
from gvr_bench.pipeline.stage_context import StageContext

MIN_SECONDS = 0.5  # that a chunk takes to be worth storing


class Skip(NamedTuple):
    """An image that could not be read."""

    split: str
    sample_id: str
    reason: str


class Chunk(NamedTuple):
    """Part of a split: the positions (n,) that were read, images (n, C, H, W), those left out."""

    rows: NDArray[np.int64]
    images: NDArray[np.uint8]
    skipped: tuple[Skip, ...]


class Chunks:
    """The chunks of one stage in its folder of checkpoints; none without checkpoints."""

    def __init__(self, stage_ctx: StageContext, shape: tuple[int, ...]) -> None:
        self.enabled = stage_ctx.ctx.checkpoints is not None
        self.work = stage_ctx.cache.write_dir(stage_ctx.stage) / WORK
        self.shape = shape

    def load(self, split: str, start: int, count: int) -> Chunk | None:
        """Return the chunk of `count` images from `start` on; None if it is not stored, or
        damaged.
        """
        for path in self.work.glob(f"{_stem(split, start)}-*.safetensors") if self.enabled else ():
            chunk = self._read(path)
            if chunk and len(chunk.rows) + len(chunk.skipped) == count:
                return chunk
        return None

    def _read(self, path: Path) -> Chunk | None:
        tree = read_hashed(path, STATE)
        try:
            rows, images = tree["rows"].numpy(), tree["images"].numpy()
            skipped = tuple(Skip(*row) for row in tree["skipped"])
        except (KeyError, TypeError):
            return None
        return Chunk(rows, images, skipped) if images.shape == (len(rows), *self.shape) else None

    def save(self, split: str, start: int, chunk: Chunk, seconds: float) -> None:
        """Store a chunk that took so long to read, if that is worth it. Raises `CacheError`."""
        if not self.enabled or seconds < MIN_SECONDS:
            return
        tree = {
            "rows": torch.from_numpy(chunk.rows),
            "images": torch.from_numpy(np.ascontiguousarray(chunk.images)),
            "skipped": [list(skip) for skip in chunk.skipped],
        }
        write_hashed(self.work, _stem(split, start), tree, STATE)


def _stem(split: str, start: int) -> str:
    """Name a chunk; files of this name count as checkpoints when the cache is cleaned."""
    return f"checkpoint-{split}-{start}"
