"""Runs with the tables of their scores, so that a page and a terminal share the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gvr_bench.report.folder import Run, load
from gvr_bench.report.scores.published import published_tables
from gvr_bench.report.scores.tables import Table, model_tables, scoreboards


@dataclass(frozen=True)
class Loaded:
    """One run or several, and all their tables; to rank a scoreboard is what takes time."""

    runs: tuple[Run, ...]
    published: tuple[Table, ...]
    models: tuple[Table, ...]
    boards: tuple[Table, ...]


def load_all(folders: Sequence[Path]) -> Loaded:
    """Read runs without their pictures and make their tables. Raises `DataError`."""
    runs = tuple(load(folder) for folder in folders)
    return Loaded(
        runs, tuple(published_tables(runs)), tuple(model_tables(runs)), tuple(scoreboards(runs))
    )
