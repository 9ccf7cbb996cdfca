"""All explainers on all questions of a scoreboard, as the data of one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gvr_bench.report import formatting as text
from gvr_bench.report.figure_data import Chart, signed
from gvr_bench.report.questions import Question, questions
from gvr_bench.report.tables import Cell, Row, Table, beats

CAPTION = "95 % intervals; further right is better"


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


@dataclass(frozen=True)
class Overview:
    """Explainers as rows, questions as panels, at most `width` inches each."""

    names: tuple[str, ...]
    panels: tuple[Panel, ...]
    width: float = 1.3


def overview(board: Table) -> Chart | None:
    """The figure of a board; None where no explainer has a score."""
    every = questions(board)
    rows = [row for row in board.rows if any(row in question.explainers for question in every)]
    if not rows:
        return None
    panels = tuple(_panel(question, rows) for question in every)
    names = tuple(row.names[0] for row in rows)
    seeds = max(len(cell.seeds) for row in rows for cell in row.cells)
    caption = CAPTION if seeds < 2 else f"Means and range of {seeds} seeds; further right is better"
    return Chart(
        "overview",
        "Explainers by question",
        "",
        caption,
        described(panels, names),
        Overview(names, panels),
        "One score per question, that of the verdict. Shaded: from the worst to the best control. "
        "Filled: better than every control; hollow: not, or there is no control.",
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
    return "; ".join(_described(panel, names) for panel in panels)


def _described(panel: Panel, names: Sequence[str]) -> str:
    dots = [
        f"{name} {dot if isinstance(dot, str) else signed(dot.value)}"
        for name, dot in zip(names, panel.dots, strict=True)
    ]
    low, high = panel.controls or (0.0, 0.0)
    dots.append(f"controls {signed(low)} to {signed(high)}" if panel.controls else "no control")
    return f"{panel.title}, {panel.score}: {', '.join(dots)}"
