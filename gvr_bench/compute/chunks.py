"""What has been read of a data set, kept until all is: a killed reading goes on from there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gvr_bench.compute.bench import Bench
from gvr_bench.errors import StoreError
from gvr_bench.formats import read_state, replacing, write_state
from gvr_bench.storage.integrity import WORK, sha256

SLOW = 0.5  # seconds: what is read faster than this is read again instead


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
    """The chunks of one stage in its folder of checkpoints; none where there are no checkpoints.

    A file's name ends in its digest, so that a damaged one is never taken up.
    """

    def __init__(self, bench: Bench, shape: tuple[int, ...]) -> None:
        self.keeps = bench.ctx.checkpoints is not None
        self.work = bench.store.place(bench.stage) / WORK
        self.shape = shape

    def load(self, split: str, start: int, count: int) -> Chunk | None:
        """Return the chunk of `count` images from `start` on; None where it is not whole."""
        for path in self.work.glob(f"{_stem(split, start)}-*.safetensors") if self.keeps else ():
            chunk = self._read(path)
            if chunk and len(chunk.rows) + len(chunk.skipped) == count:
                return chunk
        return None

    def _read(self, path: Path) -> Chunk | None:
        try:
            if sha256(path)[:16] != path.stem.rpartition("-")[2]:
                return None
            tree = read_state(path)
            rows, images = tree["rows"].numpy(), tree["images"].numpy()
            skipped = tuple(Skip(*row) for row in tree["skipped"])
        except (OSError, StoreError, KeyError, TypeError):
            return None
        return Chunk(rows, images, skipped) if images.shape == (len(rows), *self.shape) else None

    def save(self, split: str, start: int, chunk: Chunk, seconds: float) -> None:
        """Keep a chunk that took so long to read, unless that is soon done again.

        Raises `StoreError` where the file system refuses.
        """
        if not self.keeps or seconds < SLOW:
            return
        tree = {
            "rows": torch.from_numpy(chunk.rows),
            "images": torch.from_numpy(np.ascontiguousarray(chunk.images)),
            "skipped": [list(skip) for skip in chunk.skipped],
        }
        try:
            self._write(_stem(split, start), tree)
        except (FileNotFoundError, StoreError) as error:
            if isinstance(error, StoreError) and not isinstance(error.__cause__, FileNotFoundError):
                raise  # else another process has completed the stage, and the folder is gone

    def _write(self, stem: str, tree: Mapping[str, Any]) -> None:
        """Write one file. Raises `OSError` or `StoreError`."""
        written = self.work / f"chunk-{os.getpid()}.partial"
        write_state(written, tree)
        with replacing(self.work / f"{stem}-{sha256(written)[:16]}.safetensors") as partial:
            written.replace(partial)


def _stem(split: str, start: int) -> str:
    """Name a chunk; as for trainings, what is named so is no leftover."""
    return f"checkpoint-{split}-{start}"
