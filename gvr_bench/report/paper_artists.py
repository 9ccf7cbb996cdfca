"""Draws the figures for articles; one column of a page wide, but for the grid of cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gvr_bench.report.figure_style import ACCENT, INK, MUTED, PAPER, RULE, SECOND, short
from gvr_bench.report.panel_figures import Small
from gvr_bench.report.paper_figures import STAGES, Funnel, Grid, Ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROW, TILE = 3.8, 0.24, 0.85  # inches
ACROSS = 3  # panels
SHADES = ((RULE, 1.0), (SECOND, 0.6), (ACCENT, 0.25), (ACCENT, 0.55), (ACCENT, 1.0))


def draw_ranks(figure: Figure, data: Ranks) -> None:
    """A row per explainer at its mean rank; bars join those that are not apart."""
    n, cliques = len(data.names), data.cliques
    figure.set_size_inches(WIDTH, 0.9 + ROW * n)
    axes = figure.add_subplot()
    axes.hlines(range(n), 1, data.means, color=RULE, linewidth=0.8)
    for y, (mean, control) in enumerate(zip(data.means, data.controls, strict=True)):
        axes.plot(mean, y, "o", markersize=4.5, color=MUTED if control else ACCENT)
    right = max(data.means)
    step = 0.035 * (right - 1 or 1)
    for column, (first, last) in enumerate(cliques):
        x = right + (column + 1.5) * step
        axes.plot([x, x], [first - 0.25, last + 0.25], color=INK, linewidth=2.2)
    axes.plot([1, 1 + data.difference], [-1, -1], color=INK, linewidth=1.2, marker="|")
    axes.text(1, -1.3, "critical difference", fontsize=7)
    axes.set(xlabel="mean rank", ylim=(n - 0.5, -1.9))
    axes.set_yticks(range(n), [short(name, 24) for name in data.names])
    for label, control in zip(axes.get_yticklabels(), data.controls, strict=True):
        label.set_color(MUTED if control else INK)


def draw_funnel(figure: Figure, data: Funnel) -> None:
    """A bar per explainer, cut by what becomes of the cases."""
    n = len(data.names)
    figure.set_size_inches(WIDTH, 1.3 + 1.5 * ROW * n)
    axes = figure.add_subplot()
    counts = np.array(data.counts)  # (explainers, stages)
    left = np.zeros(n)
    for stage, (colour, alpha) in zip(range(len(STAGES))[::-1], SHADES[::-1], strict=True):
        axes.barh(range(n), counts[:, stage], left=left, height=0.7, color=colour, alpha=alpha,
                  label=STAGES[stage])  # fmt: skip
        dark = (colour, alpha) == SHADES[-1]
        for y in np.flatnonzero(counts[:, stage]).tolist():
            axes.text(left[y] + counts[y, stage] / 2, y, str(counts[y, stage]), ha="center",
                      va="center", fontsize=7, color=PAPER if dark else INK)  # fmt: skip
        left += counts[:, stage]
    axes.set_yticks(range(n), [short(name, 24) for name in data.names])
    axes.set(xlabel="cases", ylim=(n - 0.5, -0.5), xlim=(0, counts.sum(axis=1).max()))
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=False)
    figure.legend(loc="outside lower left", ncols=2)


def draw_grid(figure: Figure, data: Grid) -> None:
    """A picture per case and explainer."""
    rows, columns = len(data.rows), len(data.columns)
    figure.set_size_inches(TILE * columns + 0.3, TILE * rows + 0.4)
    all_axes: Any = figure.subplots(rows, columns, squeeze=False)
    for i, j in np.ndindex(rows, columns):
        axes = all_axes[i, j]
        axes.imshow(np.asarray(data.pictures[i][j].convert("RGB")), interpolation="bicubic")
        axes.set(xticks=(), yticks=(), frame_on=False)
        axes.grid(visible=False)
        if i == 0:
            axes.set_title(short(data.columns[j], 20), fontsize=6.5, color=INK)
        if j == 0:
            axes.set_ylabel(short(data.rows[i], 16), fontsize=6.5, color=MUTED)


def draw_small(figure: Figure, data: Small) -> None:
    """A panel per explainer, three beside each other."""
    rows = -(-len(data.titles) // ACROSS)
    figure.set_size_inches(WIDTH, 0.9 + 1.05 * rows)
    grid: Any = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(data.titles) :]:
        axes.set_axis_off()
    panels = zip(grid.flat, data.titles, data.controls, data.lines, strict=False)
    for axes, title, control, lines in panels:
        axes.set_title(short(title, 22), fontsize=7, color=MUTED if control else INK)
        axes.tick_params(labelsize=7, labelbottom=True)
        for line, colour in zip(lines, (SECOND, ACCENT)[-len(lines) :], strict=True):
            if line.band is not None:
                axes.fill_between(line.x, *line.band, color=colour, alpha=0.2, linewidth=0)
            if line.points is not None:
                axes.plot(
                    *line.points, "o", color=MUTED, alpha=0.4, markersize=2, markeredgewidth=0
                )
            axes.plot(line.x, line.y, color=colour)
    figure.supxlabel(data.x_title, fontsize=8)
    figure.supylabel(short(data.y_title, 40), fontsize=8)
