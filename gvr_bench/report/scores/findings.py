"""What a reader should know first: the headline numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gvr_bench.report import formatting as text
from gvr_bench.report.metric_info import entry, is_cost
from gvr_bench.report.scores.blocks import telling
from gvr_bench.report.scores.tables import Cell, Table
from gvr_bench.results.records import Better

_MOST = 5


@dataclass(frozen=True)
class Headline:
    """One number with what it is about; `better` is that of its column."""

    title: str
    value: str
    interval: str
    about: str
    better: Better


def headlines(models: Sequence[Table], boards: Sequence[Table]) -> list[Headline]:
    """The model's first score, then who leads: ground truth first, cost not at all."""
    found = []
    for table in models[:1]:
        cell = table.rows[0].cells[0] if table.columns else Cell()
        if cell.value is not None:
            about = table.rows[0].names[0] if "model" in table.headings else "the model"
            found.append(_headline(table, 0, cell, about))
    for table in boards[:1]:
        for index in _worth_telling(table):
            rows = [row for row in table.rows if row.cells[index].value is not None]
            leaders = [row for row in rows if row.cells[index].best] or rows[: len(rows) == 1]
            if leaders:
                names = text.listed([row.names[0] for row in leaders], 2)
                names += f", {table.model}" if len(boards) > 1 else ""
                found.append(_headline(table, index, leaders[0].cells[index], names))
    return found[:_MOST]


def _worth_telling(table: Table) -> list[int]:
    """Positions of quality scores: two of ground truth, one of each other group, then the rest."""
    order = [i for i in telling(table) if not is_cost(table.columns[i].metric)]
    most = {"truth": 2}
    first: list[int] = []
    for index in order:
        group = table.columns[index].group
        if sum(table.columns[i].group == group for i in first) < most.get(group, 1):
            first.append(index)
    return first + [index for index in order if index not in first]


def _headline(table: Table, index: int, cell: Cell, about: str) -> Headline:
    column, places = table.columns[index], text.digits(table, index)
    value = text.number(cell.value or 0.0, places)
    unit = f" {column.unit}" if column.unit else ""
    span = text.interval(cell, places, " to ")
    return Headline(entry(column.metric).title, value + unit, span, about, column.better)
