"""What of a stage is a task of its own: all of it, or parts of its cases and then what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps.shards import count_cases, cut


@dataclass(frozen=True)
class Piece:
    """A stage, or the part of it that `rows` of its cases are."""

    stage: Stage
    rows: tuple[int, ...] = ()

    def told(self, cache: ArtifactCache) -> Mapping[str, Any]:
        """Return what a worker must be told of it."""
        forgotten = self.stage.key in cache.invalidated
        return {"key": self.stage.key, "rows": self.rows, "forgotten": forgotten}

    def __str__(self) -> str:
        if not self.rows:
            return str(self.stage)
        first, end = self.rows
        return f"{self.stage}, cases {first + 1} to {end}"


def pieces(stage: Stage, cache: ArtifactCache, batch_size: int) -> list[Piece]:
    """Return the parts of a stage, or the stage where it has less than two."""
    parts: list[slice] = []
    if STEPS[stage.kind].sharded:
        with contextlib.suppress(CacheError):  # who computes the stage says what is wrong
            parts = cut(slice(0, count_cases(cache, stage)), batch_size)
    if len(parts) < 2:
        return [Piece(stage)]
    return [Piece(stage, (rows.start, rows.stop)) for rows in parts]
