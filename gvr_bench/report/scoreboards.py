"""Scores of runs as tables: cells with their intervals, ranks, and which beat the controls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gvr_bench.core.explainer import Role
from gvr_bench.core.metric import Better
from gvr_bench.metrics.seeds import seed_mean, seed_p_value
from gvr_bench.metrics.statistics import Ranking, rank
from gvr_bench.report.comparable_runs import Grid, Part, comparable, lines, rows_of, scores_of
from gvr_bench.report.metric_info import entry, is_cost, per_case
from gvr_bench.report.run import Run
from gvr_bench.report.tables import Cell, Column, Row, Spans, Table, leading_column
from gvr_bench.results.records import Status

Names = tuple[str, ...]


def model_tables(runs: Sequence[Run]) -> list[Table]:
    """Scores of the models: one table per data set, one row per model and output."""
    scores = scores_of(runs)
    scores = scores[scores["explainer"].isna()]
    tables = []
    for part in comparable(scores, ["dataset"], _protocols(runs)):
        (dataset,) = part.scope
        grid = rows_of(part.scores, ["model", "output"])
        models = list(dict.fromkeys(names[0] for names in grid))
        order = sorted(grid, key=lambda names: (models.index(names[0]), names[1] != "all"))
        grid = {names: grid[names] for names in order}
        columns, rows = _filled(grid, part, runs, rivals=lambda names: names[1], ranked=False)
        model = models[0] if len(models) == 1 else ""
        headings: Names = ("model", "output")
        if model:
            headings, rows = ("output",), [replace(row, names=row.names[1:]) for row in rows]
        title = f"{model or 'Models'} on {dataset}{part.title}"
        tables.append(
            Table("models", title, dataset, model, headings, columns, tuple(rows), part.apart)
        )
    return tables


def scoreboards(runs: Sequence[Run]) -> list[Table]:
    """Scores of the explainers over all outputs: one table per explained model.

    Sorted by the leading column, best first and controls last.
    """
    scores = scores_of(runs)
    scores = scores[scores["explainer"].notna() & (scores["output"] == "all")]
    tables = []
    for part in comparable(scores, ["dataset", "model"], _protocols(runs)):
        dataset, model = part.scope
        grid = rows_of(part.scores, ["explainer"])
        columns, rows = _filled(grid, part, runs, rivals=lambda _: None, ranked=True)
        title = f"Explainers of {model} on {dataset}{part.title}"
        ordered = tuple(_ordered(rows, columns))
        tables.append(
            Table("scoreboard", title, dataset, model, ("explainer",), columns, ordered, part.apart)
        )
    return tables


def _protocols(runs: Sequence[Run]) -> dict[str, Any]:
    return {name: facts for run in runs for name, facts in run.protocols.items()}


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    leading = leading_column(rows, columns)
    sign = 1 if leading is None or columns[leading].better == "down" else -1

    def order(row: Row) -> tuple[bool, bool, float, Names]:
        value = row.cells[leading].value if leading is not None else None
        return row.control, value is None, sign * (value or 0.0), row.names

    return sorted(rows, key=order)


def _filled(
    grid: Grid, part: Part, runs: Sequence[Run], rivals: Callable[[Names], Hashable], ranked: bool
) -> tuple[tuple[Column, ...], list[Row]]:
    """Columns in the order in which metrics appear, and rows with all their cells."""
    roles = {names: next(iter(cells.values()))[0].role for names, cells in grid.items()}
    units = {dataset: unit for run in runs for dataset, unit in run.units.items()}
    columns, cells = [], []
    for score in lines(part.scores.drop_duplicates("metric")):
        known = entry(score.metric)
        unit = units.get(part.scope[0], "") if known.unit == "task" else known.unit
        column = Column(score.metric, score.better, unit, known.group)
        scores = {names: by_metric.get(score.metric, []) for names, by_metric in grid.items()}
        separated, mine = _column(column, scores, roles, rivals, ranked)
        failed = tuple(
            names[0]
            for names, cell in mine.items()
            if roles[names] == "control" and cell.status == "failed"
        )
        columns.append(replace(column, separated=separated, failed_controls=failed))
        cells.append(mine)
    fields = ("model", "output") if not ranked else ("explainer",)
    rows = [
        Row(
            names,
            tuple(mine[names] for mine in cells),
            roles[names],
            tuple(zip(fields, names, strict=True)),
        )
        for names in grid
    ]
    return tuple(columns), rows


def _column(
    column: Column,
    scores: Mapping[Names, Sequence[Any]],
    roles: Mapping[Names, Role | None],
    rivals: Callable[[Names], Hashable],
    ranked: bool,
) -> tuple[bool | None, dict[Names, Cell]]:
    """The cells of a column with ranks and the best marked, and whether any beats all controls.

    Controls compete, but not on cost: being cheap without explaining anything is no merit.
    """
    controls = {names for names, role in roles.items() if role == "control"}
    rows = {names[0]: mine for names, mine in scores.items()}
    means = case_means(rows, column.metric) if ranked else {}
    places = ranking(rows, means, column.better, {names[0] for names in controls})
    cells, keys = {}, {}
    for names, mine in scores.items():
        cell = cell_of(mine)
        if places.clear is not None and names not in controls and cell.value is not None:
            cell = replace(cell, clear=names[0] in places.clear)
        cell = replace(cell, rank=places.ranks.get(names[0]), cases=means.get(names[0]))
        cells[names] = cell
        if cell.value is not None and not (names in controls and is_cost(column.metric)):
            sign = 1 if column.better == "up" else -1
            keys[names] = sign * cell.value if cell.rank is None else -float(cell.rank)
    best = _best(keys, rivals) if column.better != "-" else set()
    return places.separated, {n: replace(cell, best=n in best) for n, cell in cells.items()}


def _best(keys: Mapping[Names, float], rivals: Callable[[Names], Hashable]) -> set[Names]:
    """The names with the largest key among their rivals, unless all rivals are equal."""
    best = set()
    for _, group in groupby(sorted(keys, key=lambda n: str(rivals(n))), rivals):
        mine = {names: keys[names] for names in group}
        if len(set(mine.values())) > 1:
            best |= {names for names, key in mine.items() if key == max(mine.values())}
    return best


def cell_of(scores: Sequence[Any]) -> Cell:
    """Make a cell of one score, or of the mean over seeds of those that have a value.

    `scores` have the fields of a `Record`.
    """
    valued = [s for s in scores if s.status == "ok" and not pd.isna(s.value)]
    missing = [s for s in scores if s not in valued]
    if not valued:
        if not missing:
            return Cell()
        status: Status = "n/a" if missing[0].status == "ok" else missing[0].status
        return Cell(status=status, reason=missing[0].reason)
    value = sum(float(s.value) for s in valued) / len(valued)
    low, high, spans = interval_of(valued, value)
    if is_cost(valued[0].metric) and low == high:  # measured once: it has no spread
        low = high = None
    return Cell(
        value=value,
        low=low,
        high=high,
        n=min(s.n for s in valued),
        seeds=tuple(sorted(s.seed for s in valued)),
        status="ok",
        spans=spans,
        passed=None if any(s.passed is None for s in valued) else all(s.passed for s in valued),
        reason="; ".join(f"seed {s.seed} {s.status}: {s.reason}" for s in missing),
    )


def interval_of(scores: Sequence[Any], value: float) -> tuple[float | None, float | None, Spans]:
    """Return the interval of the mean `value` of scores, one per seed, and what it spans.

    It allows for other `cases`, where seeds are several for other `seeds and cases`. `seeds` are
    but the lowest and highest of them, where values of single cases are unknown.
    """
    if len(scores) == 1:
        return scores[0].low, scores[0].high, "cases"
    metric, columns = entry(scores[0].metric), [score.values for score in scores]
    lengths = {-1 if column is None else len(column) for column in columns}
    if per_case(metric.name) and len(lengths) == 1 and -1 not in lengths:
        mean = seed_mean(np.stack(columns))
        if mean is not None:
            ends = replace(mean, value=value).interval(metric.lowest, metric.highest)
            return *ends, "seeds and cases"
    values = [float(score.value) for score in scores]
    return min(values), max(values), "seeds"


def case_means(rows: Mapping[str, Sequence[Any]], metric: str) -> dict[str, NDArray[Any]]:
    """Values (N,) of the cases of each row, means over seeds; empty unless all have the same N."""
    if not per_case(metric):
        return {}
    means = {name: mean for name, scores in rows.items() if (mean := _mean(scores)) is not None}
    return means if len({len(values) for values in means.values()}) == 1 else {}


def _mean(scores: Sequence[Any]) -> NDArray[Any] | None:
    """One value per case (N,); None where a seed that has a score lacks them."""
    scored = [score for score in scores if score.status == "ok"]
    values = [score.values for score in scored if score.values is not None]
    if not values or len(values) < len(scored) or len({len(v) for v in values}) > 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no seed has a value for some case
        return np.asarray(np.nanmean(np.stack(values).astype(np.float64), axis=0))


def ranking(
    rows: Mapping[str, Sequence[Any]],
    means: Mapping[str, NDArray[Any]],
    better: Better,
    controls: Collection[str],
) -> Ranking:
    """Rank rows by the values of their cases, `case_means`, if they are at least two.

    Where there are several seeds, a row must be better with the seed as a random effect, too.
    """
    if len(means) < 2:
        return Ranking({}, None)
    by_seed = {
        name: {score.seed: score.values for score in rows[name] if score.status == "ok"}
        for name in means
    }

    def over_seeds(a: str, b: str) -> float:
        mine, theirs = by_seed[a], by_seed[b]
        if len(mine) == len(theirs) == 1:
            return 0.0  # nothing is known of seeds: the test over cases counts
        both = sorted(mine.keys() & theirs.keys())
        return seed_p_value([mine[seed].astype(float) - theirs[seed] for seed in both])

    return rank(means, better, [name for name in means if name in controls], over_seeds)
