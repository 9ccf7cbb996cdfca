"""The leading score of each explainer against the time that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gvr_bench.report import formatting as text
from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.report.tables import Cell, Row, Table, leading_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_LABEL_DISTANCE = 16  # points from which a name needs a line to its point


@dataclass(frozen=True)
class Point:
    """An explainer with two scores; `x_interval` and `y_interval` where they are known."""

    name: str
    control: bool
    x: float
    y: float
    x_interval: tuple[float, float] | None
    y_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Scatter:
    x_title: str
    y_title: str
    log: bool
    points: tuple[Point, ...]

    def draw(self, figure: style.Canvas) -> None:
        axes = style.axes_of(figure, style.short(self.x_title, 50), style.short(self.y_title, 44))
        for point in self.points:
            colour = style.MUTED if point.control else style.ACCENT
            for x, y in ((point.x_interval, (point.y,) * 2), ((point.x,) * 2, point.y_interval)):
                if x is not None and y is not None:
                    axes.plot(x, y, color=colour, alpha=0.4, linewidth=2.4, solid_capstyle="butt")
            fill = style.PAPER if point.control else colour
            axes.plot(point.x, point.y, "o", markersize=5, markeredgecolor=colour,
                      color=fill, markeredgewidth=1.2)  # fmt: skip
        axes.margins(0.12)
        if self.log:
            axes.set_xscale("log")
            low, high = axes.get_xlim()
            axes.set_xlim(low / 1.3, high * 1.3)
        style.round_ticks(axes.xaxis, self.log, *axes.get_xlim())
        style.round_ticks(axes.yaxis, False, *axes.get_ylim())
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)  # for labels are placed in pixels
        _label_points(axes, self.points)


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """A name beside each point, or with a line to it, where it covers least of all else."""
    from matplotlib.transforms import Bbox

    frame, taken = axes.get_window_extent(), []
    for p in points:
        xs, ys = p.x_interval or (p.x, p.x), p.y_interval or (p.y, p.y)
        for pad, ends in ((4, [(p.x, p.y)] * 2), (1, [(x, p.y) for x in xs]),
                          (1, [(p.x, y) for y in ys])):  # fmt: skip
            box = Bbox(axes.transData.transform(ends)).padded(pad)
            taken.append((box.min, box.max))

    def covered(box: Bbox) -> float:
        low, high = np.moveaxis(np.array(taken), 1, 0)  # corners (boxes, 2)
        shared = (np.minimum(box.max, high) - np.maximum(box.min, low)).clip(0).prod(1).sum()
        outside = frame.width * (box.x0 < frame.x0 or box.x1 > frame.x1)
        outside += frame.width * (box.y0 < frame.y0 or box.y1 > frame.y1)
        return float(shared + outside)

    for point in points:
        label = axes.annotate(style.short(point.name), (point.x, point.y), xytext=(0, 0),
                              textcoords="offset points",
                              color=style.MUTED if point.control else style.INK)  # fmt: skip
        label.set_in_layout(False)
        best: tuple[float, tuple[float, float, str]] = (math.inf, (0, 0, "left"))
        for reach in (0, 9, 18, 28, 40):
            for dx, ha in ((6 + reach / 2, "left"), (-6 - reach / 2, "right"), (0, "center")):
                for dy in (-3.0,) if ha != "center" and not reach else (4.5 + reach, -11 - reach):
                    label.set(position=(dx, dy), ha=ha)
                    cost = covered(label.get_window_extent())
                    best = min(best, (cost, (dx, dy, ha)), key=lambda option: option[0])
            if best[0] == 0:
                break
        dx, dy, ha = best[1]
        label.set(position=(dx, dy), ha=ha)
        if math.hypot(dx, dy) > MAX_LABEL_DISTANCE:
            near = (dx, dy if dy > 0 else dy + 7)  # the edge of the name that faces its point
            line = {"arrowstyle": "-", "color": style.MUTED, "lw": 0.6, "shrinkA": 1, "shrinkB": 4}
            axes.annotate("", (point.x, point.y), near, textcoords="offset points",
                          arrowprops=line).set_in_layout(False)  # fmt: skip
        box = label.get_window_extent()
        taken.append((box.min, box.max))


def scatter(board: Table, title: str, x: int, y: int, log: bool = False) -> Chart | None:
    """Column `y` of a board against column `x`; None for fewer than two explainers."""
    points = [_point(row, row.cells[x], row.cells[y], log) for row in board.rows]
    drawn = tuple(point for point in points if point is not None)
    if len(drawn) < 2:
        return None
    x_title, y_title = text.heading(board.columns[x]), text.heading(board.columns[y])
    names = {point.name for point in drawn}
    counts = [
        row.cells[i].n for row in board.rows if row.names[0] in names for i in (x, y)
        if row.cells[i].n
    ]  # fmt: skip
    images = f", {text.spread(min(counts), max(counts))} images" if counts else ""
    return Chart(
        title,
        title,
        f"{len(drawn)} explainers{images}",
        "; ".join(f"{p.name}: {x_title} {p.x:.3g}, {y_title} {p.y:.3g}" for p in drawn),
        Scatter(x_title + (", logarithmic" if log else ""), y_title, log, drawn),
    )


def _point(row: Row, x: Cell, y: Cell, log: bool) -> Point | None:
    if x.value is None or y.value is None or not math.isfinite(x.value + y.value):
        return None
    if log and x.value <= 0:
        return None
    return Point(row.names[0], row.control, x.value, y.value, _interval(x), _interval(y))


def _interval(cell: Cell) -> tuple[float, float] | None:
    if cell.low is None or cell.high is None or cell.low == cell.high:
        return None
    return cell.low, cell.high


def quality_against_time(board: Table) -> Chart | None:
    time, leading = board.position("seconds_per_image"), leading_column(board.rows, board.columns)
    if time is None or leading is None:
        return None
    return scatter(board, "Quality against time", time, leading, log=True)


FIGURE = Figure("board", lambda board, _: [quality_against_time(board)], section="tradeoffs")
