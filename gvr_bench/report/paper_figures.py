"""Figures for articles: mean ranks with their critical difference, a funnel, a grid of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.maps import EDGE
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.cases.views import change_scale, heat_scale, moving, outcome, shown
from gvr_bench.report.figure_data import Chart, model_name
from gvr_bench.report.questions import questions
from gvr_bench.report.tables import Table
from gvr_bench.results.case_scores import RunValues
from gvr_bench.results.records import model_label

STAGES = (
    "not predicted",
    "decision not changed",
    "changed",
    "holds re-encoded",
    "convinces oracle",
)
"""What becomes of a case, each but the first a success over the one before."""

GRID_CASES = 3
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


@dataclass(frozen=True)
class Funnel:
    """How many cases end at each of `STAGES`, by explainer."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Pictures by row and column."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pictures: tuple[tuple[Image.Image, ...], ...]


def critical_difference(board: Table) -> Chart | None:
    """Mean ranks on the first question of a board; None for fewer than two cases or explainers.

    The critical difference is Nemenyi's at 5 %: q * sqrt(k (k + 1) / 6 n) for k explainers and n
    cases (Demsar 2006, section 3.2.2).
    """
    from scipy.stats import rankdata, studentized_range

    for question in questions(board)[:1]:
        rows = [row for row in board.rows if row.cells[question.index].cases is not None]
        values = np.array([row.cells[question.index].cases for row in rows], float)  # (k, n)
        values = values[:, np.isfinite(values).all(axis=0)] if len(rows) else values
        k, n = values.shape if values.ndim == 2 else (0, 0)
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
            board.title,
            f"{n} cases; critical difference {ranks.difference:.2f} (Nemenyi, 5 %)",
            "; ".join(f"{name} {mean:.2f}" for name, mean in facts),
            ranks,
            "Bars join explainers that are not apart; 1 is best.",
        )
    return None


def funnel(c: Combination, values: RunValues) -> Chart | None:
    """What becomes of each case with each explainer that makes counterfactuals."""
    explainers = moving(c)
    if not explainers or not len(c):
        return None
    counts = []
    for e in explainers:
        ends = [_end(c, e.name, i, outcome(c, e, i), values) for i in range(len(c))]
        counts.append(tuple(np.bincount(ends, minlength=len(STAGES)).tolist()))
    names = tuple(e.name for e in explainers)
    described = [
        f"{name}: {', '.join(f'{n} {stage}' for n, stage in zip(of, STAGES, strict=True))}"
        for name, of in zip(names, counts, strict=True)
    ]
    return Chart(
        "funnel",
        "What becomes of the cases",
        model_name(c),
        f"{len(c)} cases",
        "; ".join(described),
        Funnel(names, tuple(counts)),
    )


def _end(c: Combination, name: str, i: int, result: str, values: RunValues) -> int:
    """The position of the last of `STAGES` that case `i` is known to reach."""
    if result != "found":
        return {"unseen": 0, "lost": 1}[result]
    mine = {
        metric: column
        for (whose, metric), column in values.values.items()
        if (whose.dataset, whose.seed) == (c.dataset, c.seed)
        and model_label(whose.generator, whose.encoder, whose.head) == c.model
        and (whose.explainer or "").replace("/", SLASH) == name
    }
    for stage, metric in ((2, "reencoded_validity"), (3, "oracle_validity")):
        column = mine.get(metric, ())
        if i >= len(column) or column[i] != 1:
            return stage
    return 4


def case_grid(c: Combination, cases: Sequence[str] = (), names: Sequence[str] = ()) -> Chart | None:
    """Maps of chosen cases and explainers; of the first predicted cases where none is chosen."""
    predicts = np.ones(len(c), bool) if c.predicts_source is None else c.predicts_source
    chosen = [i for i in range(len(c)) if c.sample_id[i] in cases]
    chosen = chosen or np.flatnonzero(predicts)[:GRID_CASES].tolist()
    explainers = [e for e in shown(c) if (e.name in names if names else not e.control)]
    if not chosen or not explainers:
        return None
    change, rows = change_scale(c), []
    for i in chosen:
        row = [pictures.plain(c.input[i], EDGE)]
        if c.true_change is not None:
            row.append(pictures.overlay(c.input[i], c.true_change[i], change, EDGE))
        for e in explainers:
            assert e.attribution is not None
            scale = heat_scale(e, change)
            row.append(pictures.overlay(c.input[i], e.attribution[i], scale, EDGE))
        rows.append(tuple(row))
    truth = () if c.true_change is None else ("true change",)
    columns = ("image", *truth, *(e.name for e in explainers))
    return Chart(
        "cases",
        "Maps of chosen cases" if cases else "Maps of the first predicted cases",
        model_name(c),
        f"{len(rows)} of {c.total} cases",
        ", ".join(columns),
        Grid(tuple(c.sample_id[i] for i in chosen), columns, tuple(rows)),
    )
