"""What quality costs: scatter charts of a scoreboard as coordinates for inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gvr_bench.report import formatting as text
from gvr_bench.report.charts.axis import Axis, Frame, framed
from gvr_bench.report.scores.tables import Cell, Column, Row, Table, leading_column

WIDTH, HEIGHT = 480.0, 290.0
"""The area between the axes, in units of the SVG."""

_COST, _CHANGE, _JUDGE = "seconds_per_image", "rationale_l1", "oracle_validity"
_DOT, _LINE, _LETTER = 5.0, 14.0, 7.0  # radius, and size of the labels' font, as drawn


@dataclass(frozen=True)
class Label:
    """Where a name stands; `anchor` is that of SVG, `far` whether a line has to lead to it."""

    x: float
    y: float
    anchor: str
    far: bool = False


@dataclass(frozen=True)
class Point:
    """One explainer, with its intervals where they are known: `across` in x, `up` in y."""

    name: str
    control: bool
    x: float
    y: float
    across: tuple[float, float] | None
    up: tuple[float, float] | None
    label: Label


@dataclass(frozen=True)
class Scatter:
    """Two scores of all explainers that have both."""

    title: str
    caption: str
    frame: Frame
    points: tuple[Point, ...]
    description: str


def tradeoffs(board: Table) -> list[Scatter]:
    """Quality against time, and what convinces the oracle against how much was changed.

    A chart needs two explainers that have both scores.
    """
    at = {column.metric: index for index, column in enumerate(board.columns)}
    leading = leading_column(board.rows, board.columns)
    wanted = []
    if leading is not None and _COST in at:
        wanted.append(("Quality against time", leading, at[_COST], True))
    if _JUDGE in at and _CHANGE in at:
        wanted.append(("What convinces against what changes", at[_JUDGE], at[_CHANGE], False))
    found = (_scatter(board, *one) for one in wanted)
    return [scatter for scatter in found if scatter is not None]


def _scatter(board: Table, title: str, quality: int, cost: int, log: bool) -> Scatter | None:
    shown = [
        (row, row.cells[cost], row.cells[quality])
        for row in board.rows
        if _drawable(row.cells[cost], log) and _drawable(row.cells[quality], False)
    ]
    if len(shown) < 2:
        return None
    x_axis = _axis([cell for _, cell, _ in shown], WIDTH, log)
    y_axis = _axis([cell for _, _, cell in shown], HEIGHT, False)
    x_column, y_column = board.columns[cost], board.columns[quality]
    return Scatter(
        title=title,
        caption=_caption(shown),
        frame=framed(
            x_axis,
            y_axis,
            text.heading(x_column) + (", logarithmic" if log else ""),
            text.heading(y_column),
        ),
        points=_points(shown, x_axis, y_axis),
        description="; ".join(_told(board, row, (y_column, quality), (x_column, cost))
                              for row, _, _ in shown),
    )  # fmt: skip


def _caption(shown: Sequence[tuple[Row, Cell, Cell]]) -> str:
    """Over how many images the scores of how many explainers are."""
    counts = [cell.n for _, *cells in shown for cell in cells if cell.n]
    if not counts:
        return f"{len(shown)} explainers"
    low, high = min(counts), max(counts)
    n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(shown)} explainers, n = {n} images"


def _drawable(cell: Cell, log: bool) -> bool:
    return cell.value is not None and math.isfinite(cell.value) and (cell.value > 0 or not log)


def _axis(cells: Sequence[Cell], length: float, log: bool) -> Axis:
    """From the lowest to the highest end of any interval, and a little further."""
    ends = [end for cell in cells for end in (cell.low, cell.value, cell.high) if end is not None]
    if log:
        low, high = min(end for end in ends if end > 0), max(ends)
        room = 1.5 if high / low > 3 else 2.5  # enough for two ticks
        return Axis(low / room, high * room, length, log=True)
    low, high = min(ends), max(ends)
    room = (high - low or abs(high) or 1.0) * 0.08
    return Axis(0.0 if 0 <= low < room * 4 else low - room, high + room, length)


def _told(board: Table, row: Row, *columns: tuple[Column, int]) -> str:
    scores = [
        f"{text.heading(column)} "
        f"{text.number(row.cells[index].value or 0.0, text.digits(board, index))}"
        for column, index in columns
    ]
    return f"{row.names[0]}: {', '.join(scores)}"


def _points(
    shown: Sequence[tuple[Row, Cell, Cell]], x_axis: Axis, y_axis: Axis
) -> tuple[Point, ...]:
    dots = [
        (x_axis.place(x.value or 0.0), HEIGHT - y_axis.place(y.value or 0.0)) for _, x, y in shown
    ]
    spans = [(_span(x, x_axis), _span(y, y_axis)) for _, x, y in shown]
    names = [text.short(row.names[0]) for row, _, _ in shown]
    return tuple(
        Point(
            name,
            row.control,
            *dot,
            across,
            None if up is None else (HEIGHT - up[0], HEIGHT - up[1]),
            label,
        )
        for (row, _, _), name, dot, (across, up), label in zip(
            shown, names, dots, spans, labels_of(dots, names), strict=True
        )
    )


def _span(cell: Cell, axis: Axis) -> tuple[float, float] | None:
    if cell.low is None or cell.high is None or cell.low == cell.high:
        return None
    return axis.place(cell.low), axis.place(cell.high)


Box = tuple[float, float, float, float]  # left, top, right, bottom


def labels_of(dots: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Label]:
    """Find a place beside each dot where its name covers no dot and no other name.

    Where there is none it stands where it covers least.
    """
    taken: list[Box] = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in dots]
    placed = []
    for (x, y), name in zip(dots, names, strict=True):
        options = [(label, _box(label, name)) for label in _around(x, y)]
        label, box = min(options, key=lambda option: sum(_cover(option[1], o) for o in taken))
        taken.append(box)
        placed.append(label)
    return placed


def _around(x: float, y: float) -> Iterator[Label]:
    """Places for a label, the best first."""
    for reach in (0.0, 12.0, 24.0, 38.0, 54.0, 72.0):
        far, side = reach > 0, _DOT + 3 + reach / 2
        for dy in (0.0,) if not far else (-reach, reach):
            yield Label(x + side, y + dy + 4, "start", far)
            yield Label(x - side, y + dy + 4, "end", far)
        yield Label(x, y - _DOT - 5 - reach, "middle", far)
        yield Label(x, y + _DOT + _LINE + reach, "middle", far)


def _box(label: Label, name: str) -> Box:
    width = _LETTER * len(name)
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return left, label.y - _LINE + 3, left + width, label.y + 3


def _cover(box: Box, other: Box) -> float:
    """The area that two boxes share, and what of the first lies outside the chart."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    outside = max(0.0, -box[0]) + max(0.0, box[2] - WIDTH)
    outside += max(0.0, -box[1]) + max(0.0, box[3] - HEIGHT)
    return max(0.0, width) * max(0.0, height) + outside * _LINE
