"""Draws the data of each chart into a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gvr_bench.report.explainer_comparison import Agreement, Point, Scatter
from gvr_bench.report.figure_data import Losses, signed
from gvr_bench.report.figure_style import (
    ACCENT,
    COLOURS,
    INK,
    MUTED,
    PAPER,
    SECOND,
    round_ticks,
    short,
)
from gvr_bench.report.overview_artist import draw_overview
from gvr_bench.report.overview_figure import Overview
from gvr_bench.report.panel_figures import Small
from gvr_bench.report.paper_artists import draw_funnel, draw_grid, draw_ranks, draw_small
from gvr_bench.report.paper_figures import Funnel, Grid, Ranks
from gvr_bench.report.prediction_quality import GRID, Calibration, Regression, Roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, SQUARE, FLAT = 3.8, 3.7, 2.1  # inches
CELL = 0.34  # inches of the table of agreement

LEGEND_CURVES = 5  # more ROC curves than these have no legend


def draw_roc(figure: Figure, data: Roc) -> None:
    axes = _axes(figure, "false positive rate", "true positive rate")
    _unit_square(axes)
    several = len(data.curves) > 1
    if data.band is not None:
        axes.fill_between(GRID, *data.band, color=ACCENT, alpha=0.18, linewidth=0)
    legend = 1 < len(data.curves) <= LEGEND_CURVES
    for number, (name, fpr, tpr) in enumerate(data.curves):
        colour = COLOURS[f"class-{number}"] if legend else ACCENT
        axes.plot(fpr, tpr, color=colour, linewidth=1 if several else 1.8,
                  alpha=1 if legend or not several else 0.6, label=short(name, 44))  # fmt: skip
    if legend:
        axes.legend(loc="lower right")


def draw_calibration(figure: Figure, data: Calibration) -> None:
    figure.set_figheight(SQUARE + 0.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
    _unit_square(upper)
    upper.set_box_aspect(None)  # as wide as the lower axes
    upper.set_ylabel("observed frequency")
    lower.set_xlabel("predicted probability")
    lower.set_ylabel("n")
    x = [b.predicted for b in data.bins]
    for b in data.bins:
        upper.plot([b.predicted] * 2, b.interval, color=ACCENT, alpha=0.35, linewidth=3)
    upper.plot(x, [b.observed for b in data.bins], "o", color=ACCENT, markersize=4.5)
    lower.bar(
        [(b.low + b.high) / 2 for b in data.bins],
        [b.n for b in data.bins],
        width=[0.9 * (b.high - b.low) for b in data.bins],
        color=MUTED,
        alpha=0.5,
    )
    lower.set_yticks([max(b.n for b in data.bins)])
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.grid(visible=False)


def draw_regression(figure: Figure, data: Regression) -> None:
    scale = ", logarithmic" if data.log else ""
    name = short(data.name, 36)
    axes = _axes(figure, f"true {name}{scale}", f"predicted {name}{scale}")
    both = np.concatenate([data.true, data.predicted])
    low, high = float(both.min()), float(both.max())
    if data.log:
        low, high = low / 1.15, high * 1.15
    else:
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    axes.plot(data.true, data.predicted, "o", color=ACCENT, alpha=0.5, markersize=2.6,
              markeredgewidth=0)  # fmt: skip
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8)
    for threshold in data.thresholds:
        if low < threshold < high:
            axes.axvline(threshold, color=SECOND, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.axhline(threshold, color=SECOND, linewidth=0.9, linestyle=(0, (4, 3)))
    for axis, limit in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        round_ticks(axis, data.log, low, high)
        limit(low, high)
    axes.set_box_aspect(1)


def draw_losses(figure: Figure, data: Losses) -> None:
    figure.set_figheight(FLAT)
    axes = _axes(figure, "steps", "")
    axes.plot(*data.training, color=ACCENT, label="training")
    if data.held_out is not None:
        axes.plot(*data.held_out, color=SECOND, linestyle=(0, (4, 2)), label="held out")
        axes.legend(loc="upper right")
    axes.margins(x=0)
    axes.locator_params(nbins=4)
    round_ticks(axes.yaxis, False, *axes.get_ylim())


def draw_scatter(figure: Figure, data: Scatter) -> None:
    axes = _axes(figure, short(data.x_title, 50), short(data.y_title, 44))
    for point in data.points:
        colour = MUTED if point.control else ACCENT
        for x, y in ((point.x_interval, (point.y,) * 2), ((point.x,) * 2, point.y_interval)):
            if x is not None and y is not None:
                axes.plot(x, y, color=colour, alpha=0.4, linewidth=2.4, solid_capstyle="butt")
        axes.plot(point.x, point.y, "o", markersize=5, color=PAPER if point.control else colour,
                  markeredgecolor=colour, markeredgewidth=1.2)  # fmt: skip
    axes.margins(0.12)
    if data.log:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low / 1.3, high * 1.3)
    round_ticks(axes.xaxis, data.log, *axes.get_xlim())
    round_ticks(axes.yaxis, False, *axes.get_ylim())
    figure.draw_without_rendering()
    _label_points(axes, data.points)


MAX_LABEL_DISTANCE = 16  # points from which a name needs a line to its point


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """A name beside each point, or with a line to it, where it covers least of all else."""
    from matplotlib.transforms import Bbox

    frame, taken = axes.get_window_extent(), []
    for p in points:
        xs, ys = p.x_interval or (p.x, p.x), p.y_interval or (p.y, p.y)
        for pad, ends in ((4, [(p.x, p.y)] * 2), (1, [(x, p.y) for x in xs]),
                          (1, [(p.x, y) for y in ys])):  # fmt: skip
            taken.append(Bbox(axes.transData.transform(ends)).padded(pad))

    def covered(box: Bbox) -> float:
        shared = [Bbox.intersection(box, other) for other in taken]
        outside = frame.width * (box.x0 < frame.x0 or box.x1 > frame.x1)
        outside += frame.width * (box.y0 < frame.y0 or box.y1 > frame.y1)
        return float(sum(b.width * b.height for b in shared if b is not None) + outside)

    for point in points:
        label = axes.annotate(short(point.name), (point.x, point.y), xytext=(0, 0),
                              textcoords="offset points",
                              color=MUTED if point.control else INK)  # fmt: skip
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
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
            axes.annotate("", (point.x, point.y), near, textcoords="offset points",
                          arrowprops=line).set_in_layout(False)  # fmt: skip
        taken.append(label.get_window_extent())


def draw_agreement(figure: Figure, data: Agreement) -> None:
    from matplotlib.patches import Rectangle

    names, columns = (
        [short(name, 24) for name in of] for of in (data.names, data.columns or data.names)
    )
    margin, below = (0.25 + 0.072 * max(map(len, of)) for of in (names, columns))
    width = max(WIDTH, margin + CELL * len(columns))
    figure.set_size_inches(width, below + CELL * len(names))
    axes = _axes(figure, "", "")
    for row, column in np.ndindex(data.means.shape):
        value = float(data.means[row, column])
        if row == column and not data.columns:
            continue
        if not np.isfinite(value):
            axes.text(column, row, "–", ha="center", va="center", color=MUTED)
            continue
        colour = ACCENT if value >= 0 else SECOND
        tile = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=colour, linewidth=0,
                         alpha=0.5 * min(1.0, abs(value)))  # fmt: skip
        axes.add_patch(tile)
        axes.text(column, row, signed(value), ha="center", va="center", fontsize=7.5)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal",
             frame_on=False)  # fmt: skip
    axes.grid(visible=False)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(names)), names)
    for labels in (axes.get_yticklabels(), axes.get_xticklabels() if not data.columns else ()):
        for label, control in zip(labels, data.controls, strict=False):
            label.set_color(MUTED if control else INK)


def _axes(figure: Figure, x_title: str, y_title: str) -> Axes:
    axes = figure.add_subplot()
    axes.set(xlabel=x_title, ylabel=y_title)
    return axes


def _unit_square(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")


ARTISTS: dict[type, Callable[[Figure, Any], None]] = {
    Roc: draw_roc,
    Calibration: draw_calibration,
    Regression: draw_regression,
    Losses: draw_losses,
    Scatter: draw_scatter,
    Agreement: draw_agreement,
    Overview: draw_overview,
    Ranks: draw_ranks,
    Funnel: draw_funnel,
    Grid: draw_grid,
    Small: draw_small,
}
