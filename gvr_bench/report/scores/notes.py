"""What is said beneath a table, and which of its columns are worth showing."""

from __future__ import annotations

from dataclasses import replace

from gvr_bench.report.metric_info import entry, is_cost
from gvr_bench.report.scores.published import QuotedRow
from gvr_bench.report.scores.tables import Cell, Column, Row, Table

_OR = ", or "  # between the reasons of which a metric cannot tell


def visible(table: Table) -> Table:
    """Return the table as it is worth showing.

    Without columns that apply to no explainer, without empty intervals (a cost measured once has
    no spread; its interval would only repeat the number), and with reasons cut to what is known.
    """
    table = _settled(table)
    hidden = _hidden(table)
    keep = [index for index in range(len(table.columns)) if index not in hidden]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in keep),
        rows=tuple(
            replace(row, cells=tuple(_measured(row, table.columns[i], row.cells[i]) for i in keep))
            for row in table.rows
        ),
    )


def _settled(table: Table) -> Table:
    """`A, or B` as `A` in the rows that give `A` alone as the reason of another score."""
    return replace(table, rows=tuple(map(_settled_row, table.rows)))


def _settled_row(row: Row) -> Row:
    known = {cell.reason for cell in row.cells if cell.status not in (None, "ok")}
    return replace(
        row,
        cells=tuple(
            replace(
                cell, reason=next((r for r in cell.reason.split(_OR) if r in known), cell.reason)
            )
            for cell in row.cells
        ),
    )


def _hidden(table: Table) -> list[int]:
    """Positions of columns that are n/a for every explainer that has any score."""
    if table.kind != "scoreboard":
        return []
    return [
        index
        for index in range(len(table.columns))
        if {row.cells[index].status for row in _scored(table)} - {None} == {"n/a"}
    ]


def _scored(table: Table) -> list[Row]:
    return [row for row in table.rows if any(cell.value is not None for cell in row.cells)]


def _measured(row: Row, column: Column, cell: Cell) -> Cell:
    metric = row.metric if isinstance(row, QuotedRow) else column.metric
    once = is_cost(metric) and cell.low == cell.high == cell.value
    return replace(cell, low=None, high=None) if once else cell


def seeds_note(table: Table) -> str:
    """`mean of k seeds`, where numbers are one, and what stands beneath them."""
    counts = {len(cell.seeds) for row in table.rows for cell in row.cells if cell.seeds}
    most = max(counts, default=1)
    if most <= 1:
        return ""
    fewest = min(counts)
    number = str(most) if fewest == most else f"{fewest} to {most}"
    return f"mean of {number} seeds, with the lowest and highest of them"


def interval_note(table: Table) -> str:
    """What the numbers beneath a value are, where any is an interval."""
    cells = [cell for row in table.rows for cell in row.cells if cell.low is not None]
    return "95 % interval" if any(len(cell.seeds) <= 1 for cell in cells) else ""


def best_note(table: Table) -> str:
    """Among which numbers the marked ones are best, where any is marked."""
    if not any(cell.best and cell.rank is None for row in table.rows for cell in row.cells):
        return ""
    return "best of a finding" if table.kind == "models" else "best of a column"


def rank_note(table: Table) -> str:
    """What a rank means, where there are any."""
    if not any(cell.rank for row in table.rows for cell in row.cells):
        return ""
    return (
        "the rank: 1 + how many are better by a paired Wilcoxon test over the same images "
        "(5 %, Holm-corrected over the column)"
    )


def level_note(table: Table) -> str:
    """What the mark of a column means that tells no explainer from the controls."""
    if not any(column.separated is False for column in table.columns):
        return ""
    return "no explainer does better than every control (same test): a good value proves nothing"


def images_note(table: Table) -> str:
    """`n = 100`, or the range; nothing where a column says it."""
    if table.kind == "published":
        return ""
    counts = {cell.n for row in table.rows for cell in row.cells if cell.value is not None}
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def reasons(table: Table) -> list[str]:
    """Why cells of columns that are visible hold no number: one line per reason, with its rows."""
    hidden, scored = _hidden(table), _scored(table)
    told: dict[tuple[str, str, str], list[str]] = {}
    for row in table.rows:
        for (word, reason), titles in _gaps(table, row, hidden if row in scored else []).items():
            everywhere = len(titles) == len(table.columns) or table.kind == "published"
            scope = "" if everywhere else f" ({', '.join(titles)})"
            told.setdefault((word, reason, scope), []).append(" ".join(row.names))
    return [
        f"{word}: {', '.join(names)}{scope}: {reason or 'no reason given'}"
        for (word, reason, scope), names in told.items()
    ]


def not_shown(table: Table) -> list[str]:
    """Why columns are not visible: `pixel AP, IoU, Otsu (no masks are known)`; one line or none."""
    table = _settled(table)
    told: dict[str, list[str]] = {}
    for index in _hidden(table):
        why = dict.fromkeys(
            row.cells[index].reason or "no reason given"
            for row in _scored(table)
            if row.cells[index].status
        )
        told.setdefault(", ".join(why), []).append(entry(table.columns[index].metric).title)
    line = "; ".join(f"{', '.join(titles)} ({why})" for why, titles in told.items())
    return [f"not shown: {line}"] if line else []


def _gaps(table: Table, row: Row, apart: list[int]) -> dict[tuple[str, str], list[str]]:
    """(status, reason) -> titles of the columns it is the reason for, some columns `apart`."""
    found: dict[tuple[str, str], list[str]] = {}
    for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
        if index not in apart and cell.status is not None and (cell.status != "ok" or cell.reason):
            word = "in part" if cell.status == "ok" else cell.status
            found.setdefault((word, cell.reason), []).append(entry(column.metric).title)
    return found
