"""Records -> tables, in a form that the terminal, the page and the exports share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from gvr_bench.records import Better, Record, Status
from gvr_bench.report.folder import Run
from gvr_bench.report.glossary import TASK_UNIT, entry, is_control
from gvr_bench.report.grouping import Entry, comparable, entries_of, rows_of


@dataclass(frozen=True)
class Column:
    """One metric; `unit` is empty for a bare number."""

    metric: str
    better: Better
    unit: str


@dataclass(frozen=True)
class Cell:
    """One number with its 95 % interval over `n` images, or the reason why there is none.

    `seeds` are those that the number is the mean of; `reason` may be set beside a number when
    some seeds have none. `status` is None where nothing was recorded at all.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seeds: tuple[int, ...] = ()
    status: Status | None = None
    reason: str = ""
    best: bool = False


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
    whose rows are in units of their own; `model` is empty where the rows name it.
    """

    kind: str
    title: str
    dataset: str
    model: str
    headings: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def model_tables(runs: Sequence[Run]) -> list[Table]:
    """Scores of the models: one table per data set, one row per model and finding."""
    entries = entries_of(runs, lambda record: record.explainer is None)
    units = _units(runs)
    tables = []
    for dataset, groups in comparable(entries, lambda record: record.dataset):
        for number, group in enumerate(groups, start=1):
            models = list(dict.fromkeys(model_of(item.record) for item in group))
            several = len(models) > 1 or len({item.run for item in group}) > 1
            title = f"Models on {dataset}" if several else f"{models[0]} on {dataset}"
            rows, columns = _grid(group, _model_and_finding, units.get(dataset, ""))
            rows = _marked(_by_model(rows), columns, together=lambda row: row.names[1])
            headings: tuple[str, ...] = ("model", "finding")
            if not several:
                headings = ("finding",)
                rows = [replace(row, names=row.names[1:]) for row in rows]
            title = _numbered(title, number, len(groups))
            tables.append(
                Table(
                    "models",
                    title,
                    dataset,
                    "" if several else models[0],
                    headings,
                    columns,
                    tuple(rows),
                )
            )
    return tables


def scoreboards(runs: Sequence[Run]) -> list[Table]:
    """Scores of the explainers over all findings: one table per explained model.

    Best first by the first score against ground truth, else by name; controls last.
    """
    entries = entries_of(runs, lambda record: bool(record.explainer) and record.finding == "all")
    units = _units(runs)
    tables = []
    scopes = comparable(entries, lambda record: (record.dataset, model_of(record)))
    for (dataset, model), groups in scopes:
        for number, group in enumerate(groups, start=1):
            rows, columns = _grid(group, _explainer, units.get(dataset, ""))
            rows = _ranked(_marked(rows, columns, together=lambda _: None), columns)
            title = _numbered(f"Explainers of {model} on {dataset}", number, len(groups))
            tables.append(
                Table("scoreboard", title, dataset, model, ("explainer",), columns, tuple(rows))
            )
    return tables


def model_of(record: Record) -> str:
    """How a model is called."""
    return f"{record.generator} · {record.encoder} · {record.head}"


def _model_and_finding(record: Record) -> tuple[str, ...]:
    return model_of(record), record.finding


def _explainer(record: Record) -> tuple[str, ...]:
    return (record.explainer or "",)


def _numbered(title: str, number: int, total: int) -> str:
    return title if total == 1 else f"{title}, protocol {number} of {total}"


def _units(runs: Sequence[Run]) -> dict[str, str]:
    return {dataset: unit for run in runs for dataset, unit in run.units.items()}


def _grid(
    group: list[Entry], name: Callable[[Record], tuple[str, ...]], unit: str
) -> tuple[list[Row], tuple[Column, ...]]:
    first = {item.record.metric: item.record for item in reversed(group)}
    metrics = dict.fromkeys(item.record.metric for item in group)
    columns = tuple(Column(m, first[m].better, _unit(m, unit)) for m in metrics)
    rows = []
    for names, cells in rows_of(group, name).items():
        control = is_control(next(iter(cells.values()))[0].explainer or "")
        rows.append(Row(names, control, tuple(cell_of(cells.get(c.metric, [])) for c in columns)))
    return rows, columns


def _unit(metric: str, task_unit: str) -> str:
    unit = entry(metric).unit
    return task_unit if unit == TASK_UNIT else unit


def cell_of(records: list[Record]) -> Cell:
    """Make a cell of one record, or of the mean over seeds of those that have a value."""
    valued = [record for record in records if record.status == "ok" and record.value is not None]
    missing = [record for record in records if record not in valued]
    if not valued:
        if not missing:
            return Cell()
        status = "n/a" if missing[0].status == "ok" else missing[0].status
        return Cell(status=status, reason=missing[0].reason)
    return Cell(
        value=_mean([record.value for record in valued]),
        low=_mean([record.low for record in valued]),
        high=_mean([record.high for record in valued]),
        n=min(record.n for record in valued),
        seeds=tuple(sorted(record.seed for record in valued)),
        status="ok",
        reason="; ".join(f"seed {r.seed} {r.status}: {r.reason}" for r in missing),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _marked(
    rows: Sequence[Row], columns: Sequence[Column], together: Callable[[Row], Hashable]
) -> list[Row]:
    """Flag the best of each column among the rows that belong `together`.

    Controls compete, except on cost: to be cheap without explaining anything is no merit.
    """
    best: set[tuple[int, int]] = set()
    for column_index, column in enumerate(columns):
        if column.better == "-":
            continue
        rivals: dict[Hashable, list[tuple[float, int]]] = {}
        for row_index, row in enumerate(rows):
            value = row.cells[column_index].value
            if value is not None and not (row.control and entry(column.metric).cost):
                rivals.setdefault(together(row), []).append((value, row_index))
        for pairs in rivals.values():
            top = (max if column.better == "up" else min)(value for value, _ in pairs)
            if len({value for value, _ in pairs}) > 1:
                best |= {(index, column_index) for value, index in pairs if value == top}
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


def _ranked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    leading = next((i for i, column in enumerate(columns) if entry(column.metric).truth), None)
    sign = 1 if leading is None or columns[leading].better == "down" else -1

    def order(row: Row) -> tuple[bool, bool, float, tuple[str, ...]]:
        value = row.cells[leading].value if leading is not None else None
        return row.control, value is None, sign * (value or 0.0), row.names

    return sorted(rows, key=order)
