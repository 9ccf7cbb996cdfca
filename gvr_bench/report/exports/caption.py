"""What stands with a table on paper: the names of its rows, and what its numbers are."""

from __future__ import annotations

from gvr_bench.report import formatting as text
from gvr_bench.report.scores.notes import (
    best_note,
    images_note,
    interval_note,
    level_note,
    rank_note,
    seeds_note,
)
from gvr_bench.report.scores.tables import Row, Table


def row_names(row: Row) -> list[str]:
    """The names of a row, a control told as such."""
    first, *rest = row.names
    return [f"{first} (control)" if row.control else first, *rest]


def caption(table: Table, interval: str, rank: str) -> str:
    """One sentence; `interval` says where intervals stand and `rank` how ranks are marked."""
    span, best, ranks, level = (
        note(table) for note in (interval_note, best_note, rank_note, level_note)
    )
    notes = (
        f"{span}s {interval}" if span else "",
        images_note(table),
        seeds_note(table),
        f"{best} in bold" if best else "",
        f"{rank} {ranks}" if ranks else "",
        f"{text.LEVEL} {level}" if level else "",
    )
    return "; ".join(note for note in notes if note) + "."
