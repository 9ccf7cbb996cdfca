"""Scores as tables, in a form that the terminal, the page and the exports share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd
from numpy.typing import NDArray

from gvr_bench.core.components import Role
from gvr_bench.core.metric import Better
from gvr_bench.report.folder import Run
from gvr_bench.report.grouping import Grid, Part, comparable, lines, rows_of, scores_of
from gvr_bench.report.metric_info import entry, is_cost, standing
from gvr_bench.report.ranks import best_of, case_means, ranking
from gvr_bench.report.seed_intervals import Spans, interval_of
from gvr_bench.results.records import Status


@dataclass(frozen=True)
class Column:
    """One metric of a group; `unit` is empty for a bare number.

    `separated`: whether any explainer beats all controls; None where that is unknown or does not
    apply. `failed_controls` are the controls that this verdict is without. `source`: whose numbers
    they are, for the columns of published tables.
    """

    metric: str
    better: Better
    unit: str
    group: str = ""
    separated: bool | None = None
    failed_controls: tuple[str, ...] = ()
    source: str = ""

    @property
    def title(self) -> str:
        """How people call it."""
        return self.source or entry(self.metric).title


@dataclass(frozen=True)
class Cell:
    """One number with its 95 % interval over `n` images, or the reason why there is none.

    The number is the mean over `seeds`, and `spans` what `interval_of` says of `low` and `high`.
    `reason` may be set beside a number
    when some seeds have none. `status` is None
    where nothing was recorded. `rank` is None where values of single cases are unknown; `clear` is
    whether an explainer beats all controls; `passed` is whether a test is passed, with every seed.
    `decimals` overrides those of the column. `cases` holds one value per case (N,), the same cases
    for all rows; it is not exported.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seeds: tuple[int, ...] = ()
    status: Status | None = None
    reason: str = ""
    best: bool = False
    rank: int | None = None
    clear: bool | None = None
    decimals: int | None = None
    passed: bool | None = None
    spans: Spans = "cases"
    cases: NDArray[Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Row:
    """`names` has one entry per heading of the table; `facts` names the row in exported data."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    role: Role | None = None
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def control(self) -> bool:
        """Whether the other rows have to beat it."""
        return self.role == "control"


@dataclass(frozen=True)
class Table:
    """Scores that may be compared: every column has one protocol.

    The columns of `published` tables are sources instead of metrics. `model` is empty where the
    rows name it. `apart` says why other tables of the same model are not part of this one.
    """

    kind: Literal["models", "scoreboard", "published"]
    title: str
    dataset: str
    model: str
    headings: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    apart: tuple[str, ...] = ()

    def scored(self, metric: str) -> list[tuple[Row, Cell, float]]:
        """The rows that have a value of a metric, with its cell and the value."""
        i = self.position(metric)
        pairs = [] if i is None else [(row, row.cells[i]) for row in self.rows]
        return [(row, cell, cell.value) for row, cell in pairs if cell.value is not None]

    def position(self, metric: str) -> int | None:
        """Where the column of a metric stands."""
        return next((i for i, c in enumerate(self.columns) if c.metric == metric), None)

    def with_columns(self, indices: Sequence[int]) -> Table:
        """The table with some of its columns."""
        rows = [replace(row, cells=tuple(row.cells[i] for i in indices)) for row in self.rows]
        return replace(self, columns=tuple(self.columns[i] for i in indices), rows=tuple(rows))


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
        headings: tuple[str, ...] = ("model", "output")
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


def _filled(
    grid: Grid,
    part: Part,
    runs: Sequence[Run],
    rivals: Callable[[tuple[str, ...]], Hashable],
    ranked: bool,
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
    rows = [
        Row(names, tuple(mine[names] for mine in cells), roles[names], _facts(names))
        for names in grid
    ]
    return tuple(columns), rows


def _facts(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    fields = ("explainer",) if len(names) == 1 else ("model", "output")
    return tuple(zip(fields, names, strict=True))


def _column(
    column: Column,
    scores: Mapping[tuple[str, ...], Sequence[Any]],
    roles: Mapping[tuple[str, ...], Role | None],
    rivals: Callable[[tuple[str, ...]], Hashable],
    ranked: bool,
) -> tuple[bool | None, dict[tuple[str, ...], Cell]]:
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
    best = best_of(keys, rivals) if column.better != "-" else set()
    marked = {names: replace(cell, best=names in best) for names, cell in cells.items()}
    return places.separated, marked


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


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    leading = leading_column(rows, columns)
    sign = 1 if leading is None or columns[leading].better == "down" else -1

    def order(row: Row) -> tuple[bool, bool, float, tuple[str, ...]]:
        value = row.cells[leading].value if leading is not None else None
        return row.control, value is None, sign * (value or 0.0), row.names

    return sorted(rows, key=order)


def leading_column(rows: Sequence[Row], columns: Sequence[Column]) -> int | None:
    """The position of the most meaningful score that any row has."""
    known = [
        (place, index)
        for index, column in enumerate(columns)
        if column.better != "-"
        and (place := standing(column.metric)) is not None
        and any(row.cells[index].value is not None for row in rows)
    ]
    return min(known)[1] if known else None


def beats(board: Table, row: Row, index: int) -> bool | None:
    """Whether a row does better than every control: by a paired test, else by its interval.

    None where it has no score, or no control has one.
    """
    cell, sign = row.cells[index], 1.0 if board.columns[index].better == "up" else -1.0
    if cell.clear is not None:
        return cell.clear
    controls = [other.cells[index].value for other in board.rows if other.control]
    bars = [sign * value for value in controls if value is not None]
    ends = [sign * end for end in (cell.low, cell.high, cell.value) if end is not None]
    return min(ends) > max(bars) if bars and ends else None
