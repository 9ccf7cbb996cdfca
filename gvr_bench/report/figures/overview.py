"""All explainers on all questions of a scoreboard: a panel per question, a row per explainer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gvr_bench.report import formatting as text
from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.report.questions import Question, questions
from gvr_bench.report.tables import Cell, Row, Table, beats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_WIDTH = 11.6  # inches, which fit the page
EDGE = 0.08  # of an axis, for dots at its ends
NARROW, HEIGHT, FRAME = 1.0, 0.25, 0.95  # inches
THIRD = 1 / 3  # of an axis, in which labels of ticks keep to its end


@dataclass(frozen=True)
class Dot:
    """A score with its interval, where it is known; `clear` where it beats all controls."""

    value: float
    interval: tuple[float, float] | None
    clear: bool


@dataclass(frozen=True)
class Panel:
    """The leading score of one question: per explainer a dot, or why there is none.

    `axis` runs from its worse to its better end, `controls` from their lowest to their highest.
    """

    title: str
    score: str
    axis: tuple[float, float]
    dots: tuple[Dot | str, ...]
    controls: tuple[float, float] | None

    def draw(self, axes: Axes, width: float) -> None:
        lines = textwrap.wrap(self.title, round(11 * width), break_long_words=False)
        axes.set_title("\n".join(lines), loc="left", fontsize=9, color=style.INK)
        if self.controls is not None:
            axes.axvspan(*self.controls, color=style.MUTED, alpha=0.25, linewidth=0)
            for end in self.controls:  # seen where the range is narrow, too
                axes.axvline(end, color=style.MUTED, alpha=0.5, linewidth=0.8)
        for y, dot in enumerate(self.dots):
            if isinstance(dot, str):
                axes.text(0.5, y, dot, ha="center", va="center", fontsize=7, color=style.MUTED,
                          transform=axes.get_yaxis_transform())  # fmt: skip
                continue
            if dot.interval is not None:
                axes.plot(dot.interval, (y, y), color=style.ACCENT, alpha=0.4, linewidth=2.4,
                          solid_capstyle="butt")  # fmt: skip
            fill = style.ACCENT if dot.clear else style.PAPER
            axes.plot(dot.value, y, "o", markersize=5, color=fill,
                      markeredgecolor=style.ACCENT, markeredgewidth=1.2)  # fmt: skip
        words = self.score.rpartition(" ")
        score = "\N{NO-BREAK SPACE}".join(filter(None, words[::2]))
        lines = textwrap.wrap(score, round(15 * width))
        axes.set_xlabel("\n".join(lines), fontsize=7.5, color=style.MUTED)
        axes.grid(visible=False, axis="x")
        worse, better = self.axis
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
    axes.set_xticks(ticks, [style.tick_label(value) for value in ticks])
    for label, value in zip(axes.get_xticklabels(), ticks, strict=True):
        place = (value - worse) / (better - worse)
        label.set_horizontalalignment(
            "left" if place < THIRD else "right" if place > 1 - THIRD else "center"
        )


@dataclass(frozen=True)
class Overview:
    """Explainers as rows, questions as panels, at most `width` inches each."""

    names: tuple[str, ...]
    panels: tuple[Panel, ...]
    width: float = 1.3

    def draw(self, figure: style.Canvas) -> None:
        n, rows = len(self.panels), len(self.names)
        margin = 0.3 + style.LETTER * max(len(style.short(name, 24)) for name in self.names)
        width = min(self.width, max(NARROW, (MAX_WIDTH - margin) / n))
        figure.set_size_inches(margin + width * n, FRAME + HEIGHT * max(3, rows))
        row_of_axes = figure.subplots(1, n, sharey=True, squeeze=False)[0]
        for axes, panel in zip(row_of_axes, self.panels, strict=True):
            panel.draw(axes, width)
        row_of_axes[0].set_ylim(rows - 0.5, -0.5)
        style.explainer_rows(row_of_axes[0], self.names, [False] * rows)


def overview(board: Table) -> Chart | None:
    """The figure of a board; None where no explainer has a score."""
    every = questions(board)
    rows = [row for row in board.rows if any(row in question.explainers for question in every)]
    if not rows:
        return None
    panels = tuple(_panel(question, rows) for question in every)
    names = tuple(row.names[0] for row in rows)
    seeds = max(len(cell.seeds) for row in rows for cell in row.cells)
    spans = "95 % intervals" if seeds < 2 else f"Means and range of {seeds} seeds"
    return Chart(
        "overview",
        "Explainers by question",
        f"{spans}; further right is better",
        described(panels, names),
        Overview(names, panels),
        "One score per question, that of the verdict. Shaded: from the worst to the best control. "
        "Filled: better than every control; hollow: not, or there is no control.",
        wide=True,
    )


def _panel(question: Question, rows: list[Row]) -> Panel:
    column = question.column
    bars = [row.cells[question.index].value or 0.0 for row in question.controls]
    low, high = axis_of(row.cells[question.index] for row in question.board.rows)
    return Panel(
        question.group.title,
        text.heading(replace(column, separated=None)),  # the controls are in sight
        (high, low) if column.better == "down" else (low, high),
        tuple(
            dot_of(row.cells[question.index], bool(beats(question.board, row, question.index)))
            for row in rows
        ),
        (min(bars), max(bars)) if bars else None,
    )


def axis_of(cells: Iterable[Cell]) -> tuple[float, float]:
    """From 0, or the lowest bound if that is negative, to the highest bound or 1 for shares."""
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.value) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if 0.5 < high < 1:
        high = 1.0
    return (low, high) if high > low else (low, low + 1.0)


def dot_of(cell: Cell, clear: bool) -> Dot | str:
    if cell.value is None:
        return text.status(cell)
    ends = None if cell.low is None or cell.high is None else (cell.low, cell.high)
    return Dot(cell.value, ends, clear)


def described(panels: Iterable[Panel], names: Sequence[str]) -> str:
    """`Oracle, oracle validity ↑: gvr 0.99, lime n/a, controls 0.1 to 0.3; ...`."""
    lines = []
    for panel in panels:
        dots = [
            f"{name} {dot if isinstance(dot, str) else style.signed(dot.value)}"
            for name, dot in zip(names, panel.dots, strict=True)
        ]
        ends = panel.controls
        dots.append(
            f"controls {style.signed(ends[0])} to {style.signed(ends[1])}" if ends else "no control"
        )
        lines.append(f"{panel.title}, {panel.score}: {', '.join(dots)}")
    return "; ".join(lines)


FIGURE = Figure("board", lambda board, _: [overview(board)], section="overview")
