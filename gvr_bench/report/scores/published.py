"""Our records beside published numbers, as tables like all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.experiment import Published
from gvr_bench.report.folder import Run
from gvr_bench.report.scores.tables import Cell, Column, Row, Table, cell_of, model_of
from gvr_bench.results.records import Record

OURS, COUNT = "this run", "n"


@dataclass(frozen=True)
class QuotedRow(Row):
    """A row with what our number is: `explainer` is empty for a score of the model.

    `decimals` are those of the most precise published number.
    """

    metric: str
    finding: str
    explainer: str
    unit: str
    decimals: int


def decimals_of(value: float) -> int:
    """Decimals of a number as it was typed, up to 6."""
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])


def published_tables(runs: Sequence[Run]) -> list[Table]:
    """One table per explained model of each run that repeats an experiment; no two are the same.

    Columns: our value, the number of images it is over, then one per source.
    """
    found: dict[Table, str] = {}
    for run in runs:
        for table in _of_run(run):
            found.setdefault(table, run.name)
    titles = [table.title for table in found]
    return [
        table if titles.count(table.title) == 1 else replace(table, title=f"{table.title} [{name}]")
        for table, name in found.items()
    ]


def _of_run(run: Run) -> list[Table]:
    experiment = run.experiment
    if experiment is None or not experiment.published:
        return []
    models: dict[tuple[str, str], list[Record]] = {}
    for record in run.records:
        models.setdefault((record.dataset, model_of(record)), []).append(record)
    sources = list(dict.fromkeys(item.column for item in experiment.published))
    columns = tuple(Column(name, "-", "") for name in (OURS, COUNT, *sources))
    quoted: dict[tuple[str, ...], list[Published]] = {}
    for item in experiment.published:
        quoted.setdefault(item.ours, []).append(item)
    return [
        Table(
            "published",
            f"{experiment.title}: {model} on {dataset}",
            dataset,
            model,
            ("result",),
            columns,
            tuple(_row(items, sources, records) for items in quoted.values()),
        )
        for (dataset, model), records in models.items()
    ]


def _row(items: list[Published], sources: list[str], records: list[Record]) -> QuotedRow:
    it = items[0]
    ours = cell_of(
        [
            record
            for record in records
            if (record.metric, record.output) == (it.metric, it.finding)
            and record.explainer == it.explainer
        ]
    )
    count = Cell() if ours.value is None else Cell(value=float(ours.n), status="ok")
    numbers = {item.column: Cell(value=item.value, status="ok") for item in items}
    return QuotedRow(
        names=(f"{it.row} ({it.unit})" if it.unit else it.row,),
        control=False,
        cells=(
            _scaled(ours, it.factor),
            count,
            *(numbers.get(source, Cell()) for source in sources),
        ),
        metric=it.metric,
        finding=it.finding,
        explainer=it.explainer or "",
        unit=it.unit,
        decimals=max(decimals_of(item.value) for item in items),
    )


def _scaled(cell: Cell, factor: float) -> Cell:
    ends = (None if end is None else end * factor for end in (cell.value, cell.low, cell.high))
    value, low, high = ends
    return replace(cell, value=value, low=low, high=high)
