"""Figures for articles in small panels: curves, sizes of findings, outputs, random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.explainer_comparison import Agreement
from gvr_bench.report.figure_data import Chart, Float, model_name, signed
from gvr_bench.report.grouping import model_of
from gvr_bench.report.overview_figure import Overview, Panel, axis_of, described, dot_of
from gvr_bench.report.questions import questions
from gvr_bench.report.tables import Table
from gvr_bench.results.records import Record

THIRDS = 3
RANDOM = {
    "randomised_head": "head",
    "randomised_encoder": "encoder",
    "randomised_generator": "generator",
    "other_image_similarity": "other image",
}
NARROW = 0.62  # inches


@dataclass(frozen=True, eq=False)
class Line:
    """A line (S,), with a band from one line to another or with points (n,) where there are any."""

    x: Float
    y: Float
    band: tuple[Float, Float] | None = None
    points: tuple[Float, Float] | None = None


@dataclass(frozen=True, eq=False)
class Small:
    """A small panel of lines per explainer, all with the same axes."""

    titles: tuple[str, ...]
    controls: tuple[bool, ...]
    lines: tuple[tuple[Line, ...], ...]
    x_title: str
    y_title: str


def curves(c: Combination) -> Chart | None:
    """Deletion and insertion, the widest gap between them first; None where no curve is known."""
    predicted = np.ones(len(c), bool) if c.predicts_source is None else c.predicts_source
    drawn, count = [], 0
    for e in c.explainers:
        if e.deletion is not None and e.insertion is not None:
            known = predicted & np.isfinite(e.deletion).all(1) & np.isfinite(e.insertion).all(1)
            if known.any():
                down, up = (
                    _line(e.deletion[known]),
                    _line(e.insertion[known]),
                )
                drawn.append((float(up.y.mean() - down.y.mean()), e.name, e.control, (down, up)))
                count = max(count, int(known.sum()))
    if not drawn:
        return None
    drawn.sort(key=lambda item: (-item[0], item[1]))
    gaps, names, controls, lines = zip(*drawn, strict=True)
    return Chart(
        "deletion and insertion",
        "Prediction as pixels go or come",
        model_name(c),
        f"Deletion (orange) and insertion (purple), pixels of largest attribution first: mean and "
        f"middle half of {count} cases",
        "; ".join(f"{n}: apart by {signed(gap)}" for n, gap in zip(names, gaps, strict=True)),
        Small(names, controls, lines, "share of pixels", "finding predicted"),
    )


def _line(values: Float) -> Line:
    low, high = np.quantile(values, (0.25, 0.75), axis=0)
    return Line(np.linspace(0, 1, values.shape[1]), values.mean(0), (low, high))


def sizes(board: Table, combinations: Sequence[Combination]) -> Chart | None:
    """The first question's score of each case against the size of its finding."""
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
        board.title,
        f"{max(counts)} cases, lines through means of thirds; ρ: Spearman",
        "; ".join(titles),
        Small(titles, controls, lines, "size of the finding, % of the image", score),
    )


def _against(name: str, x: Float, y: Float) -> tuple[str, tuple[Line]]:
    """A panel's title with the rank correlation, and means of thirds beside the cases."""
    from scipy.stats import spearmanr

    thirds = np.array_split(np.argsort(x, kind="stable"), THIRDS)
    mean_x, mean_y = (np.array([of[third].mean() for third in thirds]) for of in (x, y))
    title = f"{text.short(name, 14)}  ρ {signed(float(spearmanr(x, y).statistic))}"
    return title, (Line(mean_x, mean_y, points=(x, y)),)


def outputs(board: Table, records: Sequence[Record]) -> Chart | None:
    """The first question's score by output; None for a task with one."""
    question = next(iter(questions(board)), None)
    if question is None:
        return None
    rows = (*question.explainers, *question.controls)
    names = tuple(row.names[0] for row in rows)
    mine = pd.DataFrame(
        vars(r)
        for r in records
        if (r.dataset, model_of(r)) == (board.dataset, board.model)
        and (r.metric, r.output == "all") == (question.column.metric, False)
        and r.explainer in names
    )
    if mine.empty or mine["output"].nunique() < 2:
        return None
    counts = mine.groupby("output", sort=False)["n"].max()
    means = mine.groupby(["explainer", "output"])["value"].mean().unstack()
    means = means.reindex(index=list(names), columns=counts.index).astype(float)
    facts = zip(names, means.to_numpy().tolist(), strict=True)
    return Chart(
        "outputs",
        f"Scores by output: {question.column.title}",
        board.title,
        f"{', '.join(f'{output}: {n}' for output, n in counts.items())} cases",
        "; ".join(f"{name}: {', '.join(map(signed, of))}" for name, of in facts),
        Agreement(names, tuple(r.control for r in rows), means.to_numpy(), tuple(counts.index)),
    )


def random_weights(board: Table) -> Chart | None:
    """How alike maps stay when one network gets random weights; None where none was tried."""
    at = {c.metric: i for i, c in enumerate(board.columns) if c.metric in RANDOM}
    rows = [row for row in board.rows if any(row.cells[i].value is not None for i in at.values())]
    if len(at) < 2 or not rows:
        return None
    names = tuple(row.names[0] for row in rows)
    axis = axis_of(row.cells[i] for row in rows for i in at.values())[::-1]
    panels = []
    for metric in (metric for metric in RANDOM if metric in at):
        cells = [row.cells[at[metric]] for row in rows]
        dots = tuple(dot_of(cell, bool(cell.passed)) for cell in cells)
        panels.append(Panel(RANDOM[metric], "", axis, dots, None))
    return Chart(
        "random weights",
        "Similarity of maps before and after one network gets random weights",
        board.title,
        f"SSIM, 95 % intervals, {max(row.cells[i].n for row in rows for i in at.values())} cases; "
        "filled: no more alike than maps of two images",
        described(panels, names),
        Overview(names, tuple(panels), NARROW),
    )
