"""Our scores beside the published numbers of an experiment, as tables like all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from gvr_bench.report.comparable_runs import lines, scores_of
from gvr_bench.report.formatting import decimals_of, significant_decimals
from gvr_bench.report.run import Published, Run
from gvr_bench.report.scoreboards import cell_of
from gvr_bench.report.tables import Cell, Column, Row, Table

OURS = "this run"


def published_tables(runs: Sequence[Run]) -> list[Table]:
    """One table per explained model of each run that repeats an experiment.

    Columns: our value, then one per source. Runs with equal tables share one.
    """
    names: dict[Table, str] = {}
    for run in runs:
        if run.experiment is not None and run.experiment.published:
            for table in _tables_of(run):
                names.setdefault(table, run.name)
    titles = [table.title for table in names]
    return [
        table if titles.count(table.title) == 1 else replace(table, title=f"{table.title} [{name}]")
        for table, name in names.items()
    ]


def _tables_of(run: Run) -> list[Table]:
    assert run.experiment is not None
    published = run.experiment.published
    sources = list(dict.fromkeys(number.column for number in published))
    columns = tuple(Column(name, "-", "", source=name) for name in (OURS, *sources))
    rows: dict[tuple[object, ...], list[Published]] = {}
    for number in published:
        rows.setdefault(number.row_key, []).append(number)
    return [
        Table(
            "published",
            f"{run.experiment.title}: {model} on {dataset}",
            str(dataset),
            str(model),
            ("result",),
            columns,
            tuple(_row(numbers, sources, scores) for numbers in rows.values()),
        )
        for (dataset, model), scores in scores_of([run]).groupby(["dataset", "model"], sort=False)
    ]


def _row(numbers: Sequence[Published], sources: Sequence[str], scores: pd.DataFrame) -> Row:
    first = numbers[0]
    mine = scores[(scores["metric"] == first.metric) & (scores["output"] == first.output)]
    explainer = mine["explainer"]
    mine = mine[explainer.isna() if first.explainer is None else explainer == first.explainer]
    ours = cell_of(lines(mine))
    value, low, high = (
        None if number is None else number * first.factor
        for number in (ours.value, ours.low, ours.high)
    )
    precise = max(decimals_of(number.value) for number in numbers)
    decimals = max(significant_decimals(abs(value or 0.0)), precise)
    printed = {
        number.column: Cell(value=number.value, status="ok", decimals=decimals_of(number.value))
        for number in numbers
    }
    return Row(
        names=(f"{first.row} ({first.unit})" if first.unit else first.row,),
        cells=(
            replace(ours, value=value, low=low, high=high, decimals=decimals),
            *(printed.get(source, Cell()) for source in sources),
        ),
        facts=(
            ("row", first.row),
            ("output", first.output),
            ("explainer", first.explainer or ""),
            ("metric", first.metric),
            ("unit", first.unit),
        ),
    )
