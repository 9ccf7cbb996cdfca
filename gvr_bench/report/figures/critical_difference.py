"""Mean ranks of explainers over cases, with the difference that chance may explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gvr_bench.report.figures import Chart, Figure, style
from gvr_bench.report.questions import questions
from gvr_bench.report.tables import Table

LARGE = 1e5  # degrees of freedom, for the limit of infinitely many


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over cases, the best first, and how far they must be apart (Demsar 2006)."""

    names: tuple[str, ...]
    controls: tuple[bool, ...]
    means: tuple[float, ...]
    difference: float

    @property
    def cliques(self) -> list[tuple[int, int]]:
        """First and last position of the longest runs of explainers that are not apart."""
        ends = [
            max(j for j in range(i, len(self.means)) if self.means[j] - mean <= self.difference)
            for i, mean in enumerate(self.means)
        ]
        return [(i, j) for i, j in enumerate(ends) if j > i and (i == 0 or ends[i - 1] < j)]

    def draw(self, figure: style.Canvas) -> None:
        n, right = len(self.names), max(self.means)
        figure.set_size_inches(style.WIDTH, 0.9 + style.ROW * n)
        axes = figure.add_subplot()
        axes.hlines(range(n), 1, self.means, color=style.RULE, linewidth=0.8)
        for y, (mean, control) in enumerate(zip(self.means, self.controls, strict=True)):
            axes.plot(mean, y, "o", markersize=4.5, color=style.MUTED if control else style.ACCENT)
        step = 0.035 * (right - 1 or 1)
        for column, (first, last) in enumerate(self.cliques):
            x = right + (column + 1.5) * step
            axes.plot([x, x], [first - 0.25, last + 0.25], color=style.INK, linewidth=2.2)
        axes.plot([1, 1 + self.difference], [-1, -1], color=style.INK, linewidth=1.2, marker="|")
        axes.text(1, -1.3, "critical difference", fontsize=7)
        axes.set(xlabel="mean rank", ylim=(n - 0.5, -1.9))
        style.explainer_rows(axes, self.names, self.controls)


def critical_difference(board: Table) -> Chart | None:
    """Mean ranks on the first question of a board; None for fewer than two cases or explainers.

    The critical difference is Nemenyi's at 5 %: q * sqrt(k (k + 1) / 6 n) for k explainers and n
    cases (Demsar 2006, section 3.2.2).
    """
    from scipy.stats import rankdata, studentized_range

    question = next(iter(questions(board)), None)
    if question is None:
        return None
    rows = [row for row in board.rows if row.cells[question.index].cases is not None]
    values = np.array([row.cells[question.index].cases for row in rows], float)  # (k, n)
    values = values[:, np.isfinite(values).all(axis=0)] if rows else np.empty((0, 0))
    k, n = values.shape
    if k < 2 or n < 2:
        return None
    sign = 1 if question.column.better == "down" else -1
    means = rankdata(sign * values, axis=0).mean(axis=1)
    order = np.argsort(means, kind="stable")
    q = float(studentized_range.ppf(0.95, k, LARGE)) / np.sqrt(2)
    ranks = Ranks(
        tuple(rows[i].names[0] for i in order),
        tuple(rows[i].control for i in order),
        tuple(float(means[i]) for i in order),
        q * float(np.sqrt(k * (k + 1) / (6 * n))),
    )
    facts = zip(ranks.names, ranks.means, strict=True)
    return Chart(
        "critical difference",
        f"Mean ranks on {question.column.title}",
        f"{n} cases; critical difference {ranks.difference:.2f} (Nemenyi, 5 %)",
        "; ".join(f"{name} {mean:.2f}" for name, mean in facts),
        ranks,
        "Bars join explainers that are not apart; 1 is best.",
    )


FIGURE = Figure("board", lambda board, _: [critical_difference(board)])
