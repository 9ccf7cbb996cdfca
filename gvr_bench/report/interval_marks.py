"""The interval of each cell of a table, on the common axis of its column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gvr_bench.report.tables import Cell, Table


@dataclass(frozen=True)
class Mark:
    """An interval on an axis from 0 to 100; `zero` is where 0 lies, if inside."""

    low: float
    value: float
    high: float
    zero: float | None


def marks(table: Table) -> list[list[Mark | None]]:
    """One mark per cell, or None where there is no interval or the column has no common axis."""
    if table.kind == "published":
        return [[None] * len(table.columns) for _ in table.rows]
    axes = [
        axis_of([row.cells[index] for row in table.rows]) for index in range(len(table.columns))
    ]
    return [
        [_mark(cell, *axis) for axis, cell in zip(axes, row.cells, strict=True)]
        for row in table.rows
    ]


def _mark(cell: Cell, start: float, end: float) -> Mark | None:
    if cell.value is None or cell.low is None or cell.high is None:
        return None
    low, value, high, zero = (
        round(100 * (x - start) / (end - start), 1) for x in (cell.low, cell.value, cell.high, 0)
    )
    return Mark(low, value, high, zero if start < 0 < end else None)


def axis_of(cells: Iterable[Cell]) -> tuple[float, float]:
    """From 0, or the lowest bound if that is negative, to the highest bound or 1 for shares."""
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.value) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if 0.5 < high < 1:
        high = 1.0
    return (low, high) if high > low else (low, low + 1.0)
