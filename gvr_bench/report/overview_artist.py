"""Draws the overview: a panel per question, a row per explainer."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from gvr_bench.report.figure_style import ACCENT, INK, MUTED, PAPER, short, tick_label
from gvr_bench.report.overview_figure import Dot, Overview, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_WIDTH = 11.6  # inches, which fit the page
EDGE = 0.08  # of an axis, for dots at its ends
NARROW, ROW, FRAME = 1.0, 0.25, 0.95  # inches
THIRD = 1 / 3  # of an axis, in which labels of ticks keep to its end


def draw_overview(figure: Figure, data: Overview) -> None:
    names = [short(name, 24) for name in data.names]
    margin = 0.3 + 0.072 * max(map(len, names))
    width = min(data.width, max(NARROW, (MAX_WIDTH - margin) / len(data.panels)))
    figure.set_size_inches(margin + width * len(data.panels), FRAME + ROW * max(3, len(names)))
    row_of_axes = figure.subplots(1, len(data.panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(row_of_axes, data.panels, strict=True):
        _draw_panel(axes, panel, width)
        lines = textwrap.wrap(panel.title, round(11 * width), break_long_words=False)
        axes.set_title("\n".join(lines), loc="left", fontsize=9, color=INK)
    row_of_axes[0].set_yticks(range(len(names)), names)
    row_of_axes[0].set_ylim(len(names) - 0.5, -0.5)
    for label in row_of_axes[0].get_yticklabels():
        label.set_color(INK)


def _draw_panel(axes: Axes, panel: Panel, width: float) -> None:
    if panel.controls is not None:
        axes.axvspan(*panel.controls, color=MUTED, alpha=0.25, linewidth=0)
        for end in panel.controls:  # seen where the range is narrow, too
            axes.axvline(end, color=MUTED, alpha=0.5, linewidth=0.8)
    for y, dot in enumerate(panel.dots):
        if isinstance(dot, Dot):
            _draw_dot(axes, dot, y)
        else:
            axes.text(0.5, y, dot, ha="center", va="center", fontsize=7, color=MUTED,
                      transform=axes.get_yaxis_transform())  # fmt: skip
    words = panel.score.rpartition(" ")
    lines = textwrap.wrap("\N{NO-BREAK SPACE}".join(filter(None, words[::2])), round(15 * width))
    axes.set_xlabel("\n".join(lines), fontsize=7.5, color=MUTED)
    axes.grid(visible=False, axis="x")
    worse, better = panel.axis
    edge = EDGE * (better - worse)
    axes.set_xlim(worse - edge, better + edge)
    _set_ticks(axes, worse, better)


def _set_ticks(axes: Axes, worse: float, better: float) -> None:
    """At most two ticks whose labels stay below their own panel."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted((worse, better))
    values = MaxNLocator(2, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [float(value) for value in values if low <= value <= high]
    ticks = inside[:: max(1, len(inside) - 1)]
    axes.set_xticks(ticks, [tick_label(value) for value in ticks])
    for label, value in zip(axes.get_xticklabels(), ticks, strict=True):
        place = (value - worse) / (better - worse)
        label.set_horizontalalignment(
            "left" if place < THIRD else "right" if place > 1 - THIRD else "center"
        )


def _draw_dot(axes: Axes, dot: Dot, y: int) -> None:
    if dot.interval is not None:
        axes.plot(dot.interval, (y, y), color=ACCENT, alpha=0.4, linewidth=2.4,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot(dot.value, y, "o", markersize=5, color=ACCENT if dot.clear else PAPER,
              markeredgecolor=ACCENT, markeredgewidth=1.2)  # fmt: skip
