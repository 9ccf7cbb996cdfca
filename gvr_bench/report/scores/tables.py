"""Records -> tables, in a form that the terminal, the page and the exports share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.folder import Run
from gvr_bench.report.metric_info import entry, is_control, is_cost, standing
from gvr_bench.report.scores.grouping import Entry, comparable, entries_of, rows_of
from gvr_bench.report.scores.protocols import known_protocols, told_apart
from gvr_bench.report.scores.ranks import ranking
from gvr_bench.results.records import Better, Record, Status

Grid = dict[tuple[str, ...], dict[str, list[Entry]]]


@dataclass(frozen=True)
class Column:
    """One metric of a group; `unit` is empty for a bare number.

    `separated` says whether any explainer is told apart from all controls; None where that is not
    known, or does not apply.
    """

    metric: str
    better: Better
    unit: str
    group: str = ""
    separated: bool | None = None


@dataclass(frozen=True)
class Cell:
    """One number with its 95 % interval over `n` images, or the reason why there is none.

    `seeds` are those that the number is the mean of; where they are several, `low` and `high` are
    the lowest and highest of them, and `reason` may be set beside a number when some have none.
    `status` is None where nothing was recorded at all. `rank` is that among the explainers of the
    table, None where values of single cases are not known; `clear` says whether an explainer is
    told apart from all controls.
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


@dataclass(frozen=True)
class Row:
    """`names` has one entry per heading of the table; a control is there to be beaten."""

    names: tuple[str, ...]
    control: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Scores that may be compared: every column has one protocol.

    `kind` is `models`, `scoreboard` or `published`, whose columns are sources, not metrics, and
    whose rows are in units of their own; `model` is empty where the rows name it. `apart` says why
    other tables of the same model are not part of this one.
    """

    kind: str
    title: str
    dataset: str
    model: str
    headings: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    apart: tuple[str, ...] = ()


def model_tables(runs: Sequence[Run]) -> list[Table]:
    """Scores of the models: one table per data set, one row per model and finding."""
    entries = entries_of(runs, lambda record: record.explainer is None)
    units, known = _units(runs), known_protocols(runs)
    tables = []
    for dataset, groups in comparable(entries, lambda record: record.dataset):
        parts = zip(groups, told_apart(groups, known), strict=True)
        for number, (group, apart) in enumerate(parts, start=1):
            models = list(dict.fromkeys(model_of(item.record) for item in group))
            grid, columns = (
                rows_of(group, _model_and_finding),
                _columns(group, units.get(dataset, "")),
            )
            rows = _by_model(_rows(grid, columns))
            rows = _marked(rows, columns, together=lambda row: row.names[1])
            several = len({row.names[0] for row in rows}) > 1
            title = f"Models on {dataset}" if several else f"{models[0]} on {dataset}"
            headings: tuple[str, ...] = ("model", "finding")
            if not several:
                headings = ("finding",)
                rows = [replace(row, names=row.names[1:]) for row in rows]
            about = ("models", _numbered(title, number, len(groups)), dataset)
            model = "" if several else models[0]
            tables.append(Table(*about, model, headings, columns, tuple(rows), apart))
    return tables


def scoreboards(runs: Sequence[Run]) -> list[Table]:
    """Scores of the explainers over all findings: one table per explained model.

    Best first by the first score against ground truth, else by what convinces the oracle, else by
    what flips the model, else by name; controls last.
    """
    entries = entries_of(runs, lambda record: bool(record.explainer) and record.output == "all")
    units, known = _units(runs), known_protocols(runs)
    tables = []
    scopes = comparable(entries, lambda record: (record.dataset, model_of(record)))
    for (dataset, model), groups in scopes:
        parts = zip(groups, told_apart(groups, known), strict=True)
        for number, (group, apart) in enumerate(parts, start=1):
            grid, columns = rows_of(group, _explainer), _columns(group, units.get(dataset, ""))
            rows, columns = _placed(_rows(grid, columns), columns, grid)
            rows = _ordered(_marked(rows, columns, together=lambda _: None), columns)
            title = f"Explainers of {model} on {dataset}"
            about = ("scoreboard", _numbered(title, number, len(groups)), dataset, model)
            tables.append(Table(*about, ("explainer",), columns, tuple(rows), apart))
    return tables


def model_of(record: Record) -> str:
    """How a model is called."""
    return f"{record.generator} · {record.encoder} · {record.head}"


def _model_and_finding(record: Record) -> tuple[str, ...]:
    return model_of(record), record.output


def _explainer(record: Record) -> tuple[str, ...]:
    return (record.explainer or "",)


def _numbered(title: str, number: int, total: int) -> str:
    return title if total == 1 else f"{title}, protocol {number} of {total}"


def _units(runs: Sequence[Run]) -> dict[str, str]:
    return {dataset: unit for run in runs for dataset, unit in run.units.items()}


def _columns(group: Sequence[Entry], task_unit: str) -> tuple[Column, ...]:
    first: dict[str, Record] = {}
    for item in group:
        first.setdefault(item.record.metric, item.record)
    return tuple(
        Column(metric, record.better, _unit(metric, task_unit), entry(metric).group)
        for metric, record in first.items()
    )


def _unit(metric: str, task_unit: str) -> str:
    unit = entry(metric).unit
    return task_unit if unit == "task" else unit


def _rows(grid: Grid, columns: Sequence[Column]) -> list[Row]:
    rows = []
    for names, cells in grid.items():
        control = is_control(next(iter(cells.values()))[0].record.explainer or "")
        records = [[item.record for item in cells.get(column.metric, ())] for column in columns]
        rows.append(Row(names, control, tuple(map(cell_of, records))))
    return rows


def cell_of(records: Sequence[Record]) -> Cell:
    """Make a cell of one record, or of the mean over seeds of those that have a value."""
    valued = {r: r.value for r in records if r.status == "ok" and r.value is not None}
    missing = [record for record in records if record not in valued]
    if not valued:
        if not missing:
            return Cell()
        status = "n/a" if missing[0].status == "ok" else missing[0].status
        return Cell(status=status, reason=missing[0].reason)
    values, one = list(valued.values()), next(iter(valued))
    return Cell(
        value=sum(values) / len(values),
        low=one.low if len(values) == 1 else min(values),
        high=one.high if len(values) == 1 else max(values),
        n=min(record.n for record in valued),
        seeds=tuple(sorted(record.seed for record in valued)),
        status="ok",
        reason="; ".join(f"seed {r.seed} {r.status}: {r.reason}" for r in missing),
    )


def _placed(
    rows: Sequence[Row], columns: Sequence[Column], grid: Grid
) -> tuple[list[Row], tuple[Column, ...]]:
    """Add ranks to the cells, and to the columns whether they tell anything apart."""
    found = [
        ranking({n[0]: cells.get(c.metric, []) for n, cells in grid.items()}, c.metric, c.better)
        for c in columns
    ]
    placed = [
        replace(
            row,
            cells=tuple(
                replace(
                    cell,
                    rank=one.ranks.get(row.names[0]),
                    clear=None if one.clear is None or row.control or cell.value is None
                    else row.names[0] in one.clear,
                )
                for cell, one in zip(row.cells, found, strict=True)
            ),
        )
        for row in rows
    ]  # fmt: skip
    return placed, tuple(
        replace(column, separated=one.separated) for column, one in zip(columns, found, strict=True)
    )


def _marked(
    rows: Sequence[Row], columns: Sequence[Column], together: Callable[[Row], Hashable]
) -> list[Row]:
    """Flag the best of each column among the rows that belong `together`.

    Those that share the first rank are best where ranks are known, unless all do. Controls
    compete, except on cost: to be cheap without explaining anything is no merit.
    """
    best: set[tuple[int, int]] = set()
    for column_index, column in enumerate(columns):
        if column.better == "-":
            continue
        sign = 1 if column.better == "up" else -1
        rivals: dict[Hashable, list[tuple[float, int]]] = {}
        for row_index, row in enumerate(rows):
            cell = row.cells[column_index]
            if cell.value is not None and not (row.control and is_cost(column.metric)):
                key = sign * cell.value if cell.rank is None else -float(cell.rank)
                rivals.setdefault(together(row), []).append((key, row_index))
        for pairs in rivals.values():
            top = max(key for key, _ in pairs)
            if len({key for key, _ in pairs}) > 1:
                best |= {(index, column_index) for key, index in pairs if key == top}
    return [
        replace(
            row,
            cells=tuple(
                replace(cell, best=(row_index, column_index) in best)
                for column_index, cell in enumerate(row.cells)
            ),
        )
        for row_index, row in enumerate(rows)
    ]


def _by_model(rows: Sequence[Row]) -> list[Row]:
    """The rows of one model together, `all` first."""
    order = list(dict.fromkeys(row.names[0] for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.names[0]), row.names[1] != "all"))


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Best first by the leading column, controls last."""
    leading = leading_column(rows, columns)
    sign = 1 if leading is None or columns[leading].better == "down" else -1

    def order(row: Row) -> tuple[bool, bool, float, tuple[str, ...]]:
        value = row.cells[leading].value if leading is not None else None
        return row.control, value is None, sign * (value or 0.0), row.names

    return sorted(rows, key=order)


def leading_column(rows: Sequence[Row], columns: Sequence[Column]) -> int | None:
    """The position of the score that tells most, of those that anybody has."""
    known = [
        (place, index)
        for index, column in enumerate(columns)
        if column.better != "-"
        and (place := standing(column.metric)) is not None
        and any(row.cells[index].value is not None for row in rows)
    ]
    return min(known)[1] if known else None
