"""The leading score of each case against the size of its finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.deletion_and_insertion import Line, Panels
from gvr_bench.report.figures.style import signed
from gvr_bench.report.questions import questions
from gvr_bench.report.tables import Table

THIRDS = 3


def sizes(board: Table, combinations: Sequence[Combination]) -> Chart | None:
    """A panel per explainer that has the first question's score of each case."""
    same = (c for c in combinations if (c.dataset, c.model) == (board.dataset, board.model))
    mask = next((c.mask for c in same if c.mask is not None), None)
    question = next(iter(questions(board)), None)
    if mask is None or question is None:
        return None
    size = 100 * mask.reshape(len(mask), -1).mean(1)
    drawn, counts = [], []
    for row in (*question.explainers, *question.controls):
        scores = row.cells[question.index].cases
        if scores is not None and len(scores) >= len(size):
            y = scores[: len(size)]
            known = np.isfinite(y) & (size > 0)
            if known.sum() >= 2 * THIRDS and np.ptp(size[known]) and np.ptp(y[known]):
                drawn.append((*_against(row.names[0], size[known], y[known]), row.control))
                counts.append(int(known.sum()))
    if not drawn:
        return None
    titles, lines, controls = zip(*drawn, strict=True)
    score = text.heading(question.column).rstrip(f" {text.DAGGER}")
    return Chart(
        "size of the finding",
        f"Size of the finding and {question.column.title}",
        f"{max(counts)} cases, lines through means of thirds; ρ: Spearman",
        "; ".join(titles),
        Panels(titles, controls, lines, "size of the finding, % of the image", score),
    )


def _against(
    name: str, x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[str, tuple[Line]]:
    """A panel's title with the rank correlation, and means of thirds beside the cases."""
    from scipy.stats import spearmanr

    thirds = np.array_split(np.argsort(x, kind="stable"), THIRDS)
    mean_x, mean_y = (np.array([of[third].mean() for third in thirds]) for of in (x, y))
    title = f"{text.short(name, 14)}  ρ {signed(float(spearmanr(x, y).statistic))}"
    return title, (Line(mean_x, mean_y, points=(x, y)),)


FIGURE = Figure("board", lambda board, source: [sizes(board, source.models)])
