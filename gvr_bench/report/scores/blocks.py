"""A table cut into groups of metrics, each with the rows that it applies to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gvr_bench.metrics import Group
from gvr_bench.report.metric_info import OTHER, group_of, in_order, standing
from gvr_bench.report.scores.notes import visible
from gvr_bench.report.scores.tables import Column, Row, Table, leading_column


@dataclass(frozen=True)
class Block:
    """The columns of one group; `left_out` says which rows it does not apply to, and why.

    `titled` is whether the group has to be named to tell it from others.
    """

    group: Group
    table: Table
    left_out: tuple[str, ...]
    titled: bool


def blocks(whole: Table) -> list[Block]:
    """Cut a table by group, the most telling first, and so its columns in each.

    Columns that apply to nobody are left out, and so are rows that a group does not apply to.
    A row that has no score in any group is in the first block only.
    """
    table = visible(whole)
    if table.kind == "published" or not table.columns:
        return [Block(OTHER, table, (), titled=False)]
    leading = leading_column(table.rows, table.columns) if table.kind == "scoreboard" else None
    first = "" if leading is None else table.columns[leading].group
    groups = in_order({group_of(column.group).name for column in table.columns}, first)
    titled = table.kind == "scoreboard" or len(groups) > 1
    return [
        _block(table, group, number == 0, titled and bool(group.title))
        for number, group in enumerate(groups)
    ]


def _block(table: Table, group: Group, first: bool, titled: bool) -> Block:
    order = telling(table) if table.kind == "scoreboard" else range(len(table.columns))
    keep = [i for i in order if group_of(table.columns[i].group) == group]
    rows, absent = [], []
    for row in table.rows:
        part = replace(row, cells=tuple(row.cells[i] for i in keep))
        scored = any(cell.value is not None for cell in row.cells)
        if _belongs(part) if scored else first:
            rows.append(part)
        elif (scored or not _belongs(part)) and any(cell.status for cell in part.cells):
            absent.append(part)
    columns = tuple(table.columns[i] for i in keep)
    return Block(
        group, replace(table, columns=columns, rows=tuple(rows)), _left_out(absent), titled
    )


def _belongs(row: Row) -> bool:
    """Whether a row has a score, or something went wrong."""
    return any(cell.status not in (None, "n/a") for cell in row.cells)


def _left_out(rows: Sequence[Row]) -> tuple[str, ...]:
    """`makes no counterfactual: saliency, lime`; one line per reason."""
    told: dict[str, list[str]] = {}
    for row in rows:
        why = dict.fromkeys(cell.reason or "no reason given" for cell in row.cells if cell.status)
        told.setdefault(", ".join(why), []).append(" ".join(row.names))
    return tuple(f"{why}: {', '.join(names)}" for why, names in told.items())


def kinds(table: Table) -> dict[tuple[str, ...], str]:
    """Rows by what they make: `counterfactual`, `attribution` or `control`.

    Only what makes counterfactuals has scores of them; of a row without scores nothing is known.
    """
    found = {}
    for row in table.rows:
        scored = {
            column.group
            for column, cell in zip(table.columns, row.cells, strict=True)
            if cell.value is not None
        }
        if row.control:
            found[row.names] = "control"
        elif scored:
            moves = scored & {"validity", "proximity"}
            found[row.names] = "counterfactual" if moves else "attribution"
    return found


def cut(table: Table, keep: Sequence[int]) -> Table:
    """The table with some of its columns."""
    columns: tuple[Column, ...] = tuple(table.columns[i] for i in keep)
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in keep)) for row in table.rows)
    return replace(table, columns=columns, rows=rows)


def telling(table: Table) -> list[int]:
    """Positions of the columns, those that tell most first, those without a better end last."""

    def order(index: int) -> tuple[bool, float, int]:
        column = table.columns[index]
        place = standing(column.metric)
        return column.better == "-", math.inf if place is None else place, index

    return sorted(range(len(table.columns)), key=order)


def without_intervals(table: Table) -> Table:
    """The table with one line per row."""
    return replace(
        table,
        rows=tuple(
            replace(row, cells=tuple(replace(cell, low=None, high=None) for cell in row.cells))
            for row in table.rows
        ),
    )
