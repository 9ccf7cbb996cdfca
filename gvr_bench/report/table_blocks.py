"""A table cut into groups of metrics, and the notes that stand below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gvr_bench.metrics import Group
from gvr_bench.report import formatting as text
from gvr_bench.report.metric_info import OTHER, group_of, in_order, standing
from gvr_bench.report.tables import Cell, Row, Table, leading_column

UNINFORMATIVE = "no explainer beats all controls on this score; do not read anything into it"
NO_REASON = "no reason given"


@dataclass(frozen=True)
class Block:
    """The columns of one group; `left_out` says which rows it does not apply to, and why.

    `titled` is whether the group has to be named to distinguish it from others.
    """

    group: Group
    table: Table
    left_out: tuple[str, ...]
    titled: bool


def blocks(table: Table) -> list[Block]:
    """Cut a table by group, and order groups and columns, the most meaningful first.

    Columns that apply to no row are left out, and so are rows that a group does not apply to.
    A row without any score is in the first block only.
    """
    hidden = hidden_columns(table)
    shown = table.with_columns([i for i in range(len(table.columns)) if i not in hidden])
    if table.kind == "published" or not shown.columns:
        return [Block(OTHER, shown, (), titled=False)]
    is_board = table.kind == "scoreboard"
    leading = leading_column(shown.rows, shown.columns) if is_board else None
    first = "" if leading is None else shown.columns[leading].group
    groups = in_order({group_of(column.group).name for column in shown.columns}, first)
    order = by_standing(shown) if is_board else range(len(shown.columns))
    parts = []
    for number, group in enumerate(groups):
        part = shown.with_columns([i for i in order if group_of(shown.columns[i].group) == group])
        rows, absent = [], []
        for row, full_row in zip(part.rows, shown.rows, strict=True):
            if _applies(row) if _scored(full_row) else number == 0:
                rows.append(row)
            elif (_scored(full_row) or not _applies(row)) and any(
                cell.status for cell in row.cells
            ):
                absent.append(row)
        titled = bool(group.title) and (is_board or len(groups) > 1)
        parts.append(Block(group, replace(part, rows=tuple(rows)), _left_out(absent), titled))
    return parts


def by_standing(table: Table) -> list[int]:
    """Positions of the columns, the most meaningful first, those without a better end last."""

    def order(index: int) -> tuple[bool, float, int]:
        column = table.columns[index]
        place = standing(column.metric)
        return column.better == "-", math.inf if place is None else place, index

    return sorted(range(len(table.columns)), key=order)


def _scored(row: Row) -> bool:
    return any(cell.value is not None for cell in row.cells)


def _applies(row: Row) -> bool:
    return any(cell.status not in (None, "n/a") for cell in row.cells)


def _left_out(rows: Sequence[Row]) -> tuple[str, ...]:
    """`makes no counterfactual: saliency, lime`; one line per reason."""
    names = text.grouped((_reasons_of(row.cells), " ".join(row.names)) for row in rows)
    return tuple(f"{reason}: {', '.join(of)}" for reason, of in names.items())


def _reasons_of(cells: Sequence[Cell]) -> str:
    return ", ".join(dict.fromkeys(cell.reason or NO_REASON for cell in cells if cell.status))


def hidden_columns(table: Table) -> list[int]:
    """Positions of columns that are n/a for every explainer that has any score."""
    if table.kind != "scoreboard":
        return []
    rows = [row for row in table.rows if _scored(row)]
    return [
        index
        for index in range(len(table.columns))
        if {row.cells[index].status for row in rows} - {None} == {"n/a"}
    ]


def reasons(table: Table) -> list[str]:
    """Why cells hold no number: one line per status and reason, with its rows and columns."""
    rows = []
    for row in table.rows:
        titles = text.grouped(
            (("in part" if cell.status == "ok" else cell.status, cell.reason), column.title)
            for column, cell in zip(table.columns, row.cells, strict=True)
            if cell.status is not None and (cell.status != "ok" or cell.reason)
        )
        for (status, reason), of in titles.items():
            everywhere = len(of) == len(table.columns) or table.kind == "published"
            scope = "" if everywhere else f" ({', '.join(of)})"
            rows.append(((status, reason or NO_REASON, scope), " ".join(row.names)))
    return [
        f"{status}: {', '.join(of)}{scope}: {reason}"
        for (status, reason, scope), of in text.grouped(rows).items()
    ]


def not_shown(table: Table) -> list[str]:
    """Why columns are hidden: `Not shown: pixel AP, IoU, Otsu (no masks)`; one line or none."""
    rows = [row for row in table.rows if _scored(row)]
    titles = text.grouped(
        (_reasons_of([row.cells[i] for row in rows]), table.columns[i].title)
        for i in hidden_columns(table)
    )
    line = "; ".join(f"{', '.join(of)} ({reason})" for reason, of in titles.items())
    return [f"Not shown: {line}"] if line else []


def without_controls(table: Table) -> list[str]:
    """Which verdicts lack a control that failed: one line per control."""
    titles = [(name, column.title) for column in table.columns for name in column.failed_controls]
    return [
        f"no comparison with the control {name}, which failed, on "
        + ("any score" if len(of) == len(table.columns) else ", ".join(of))
        for name, of in text.grouped(titles).items()
    ]


def legend(
    tables: Sequence[Table], interval: str, best: str, ranks: str, uninformative: str
) -> list[str]:
    """What the numbers and marks of tables mean, as sentences.

    The arguments say where intervals stand, and how the best, ranks and uninformative columns are
    marked.
    """
    cells = [cell for t in tables for row in t.rows for cell in row.cells if cell.value is not None]
    if not cells:
        return []
    counts = [cell.n for cell in cells if cell.n]
    low, high = min(counts, default=0), max(counts, default=0)
    n = text.count(high, "case") if low == high else f"{low} to {high} cases"
    spans = _spans(cells, interval)
    over_seeds = any(cell.spans == "seeds and cases" for cell in cells)
    tests = "paired Wilcoxon" + (", and t with the seed as a random effect" if over_seeds else "")
    joined = "; ".join([*spans, n] if counts else spans)
    marks = {
        f"{best}: best of its column" if any(t.kind != "models" for t in tables) else
        f"{best}: best model for an output":
            any(cell.best and cell.rank is None for cell in cells),
        f"{ranks}: rank, 1 + number of explainers significantly better ({tests}, "
        "Holm-corrected, 5 %)": any(cell.rank for cell in cells),
        "passed: not more similar than maps of different images are"
        if any(t.kind != "models" for t in tables)
        else "passed: at least the AUROC that the data set needs":
            any(cell.passed is not None for cell in cells),
        f"{uninformative}: {UNINFORMATIVE}":
            any(column.separated is False for t in tables for column in t.columns),
    }  # fmt: skip
    lines = [
        joined,
        *(line for line, applies in marks.items() if applies),
        *dict.fromkeys(line for table in tables for line in without_controls(table)),
    ]
    return [f"{line[:1].upper()}{line[1:]}." for line in lines if line]


def _spans(cells: Sequence[Cell], interval: str) -> list[str]:
    counts = sorted({len(cell.seeds) for cell in cells if cell.seeds}) or [0]
    means = f"means of {' to '.join(map(str, sorted({counts[0], counts[-1]})))} seeds"
    spans = {cell.spans for cell in cells if cell.low is not None}
    texts = {
        "cases": f"95 % confidence intervals {interval}",
        "seeds and cases": f"{means}, with 95 % confidence intervals for other seeds and cases "
        f"{interval}",
        "seeds": "the lowest and highest of the seeds where values of cases are unknown"
        if "seeds and cases" in spans
        else f"{means}, with their lowest and highest value {interval}",
    }
    return [line for span, line in texts.items() if span in spans]
