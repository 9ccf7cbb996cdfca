"""Scores as tables, in a form that the terminal, the page and the exports share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

from gvr_bench.core.explainer import Role
from gvr_bench.core.metric import Better
from gvr_bench.report.metric_info import entry, standing
from gvr_bench.results.records import Status

Spans = Literal["cases", "seeds and cases", "seeds"]
MIN_COMPARED = 6  # cases: with five no signed-rank test is significant (2^-4 > 0.05)


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
        return self.source or entry(self.metric).title


@dataclass(frozen=True)
class Cell:
    """One number with its 95 % interval over `n` images, or the reason why there is none.

    The number is the mean over `seeds`, and `spans` what `low` and `high` allow for. `reason` may
    be set beside a number when some seeds have none. `status` is None
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
        return next((i for i, c in enumerate(self.columns) if c.metric == metric), None)

    def with_columns(self, indices: Sequence[int]) -> Table:
        rows = [replace(row, cells=tuple(row.cells[i] for i in indices)) for row in self.rows]
        return replace(self, columns=tuple(self.columns[i] for i in indices), rows=tuple(rows))


def comparable(rows: Sequence[Row], columns: Sequence[Column]) -> list[int]:
    """Positions of the scores that can say which row is better.

    A score of hardly any case cannot, where others have more: of a data set with a mask or two,
    those against masks.
    """
    counts = {}
    for index, column in enumerate(columns):
        cells = [row.cells[index] for row in rows]
        if column.better != "-":
            counts[index] = max((cell.n for cell in cells if cell.value is not None), default=0)
    least = min(MIN_COMPARED, max(counts.values(), default=0))
    return [index for index, n in counts.items() if n >= least]


def leading_column(rows: Sequence[Row], columns: Sequence[Column]) -> int | None:
    """The position of the most meaningful score that any row has."""
    known = [
        (place, index)
        for index in comparable(rows, columns)
        if (place := standing(columns[index].metric)) is not None
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
