"""ROC curves of the explained models as coordinates for inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.charts.axis import Frame, Tick, turned
from gvr_bench.report.charts.naming import finding_of, whose
from gvr_bench.report.scores.tables import Cell, cell_of, model_of
from gvr_bench.results.records import Record

SIDE = 300.0
"""Width and height of the square between the axes, in units of the SVG."""

SHARES = (Tick(0.0, "0"), Tick(SIDE / 2, "0.5"), Tick(SIDE, "1"))
"""Ticks of an axis of shares."""

_RESAMPLES, _CHUNK = 500, 50
_GRID = np.linspace(0, 1, 101)

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """The curve of one output; `points` is the attribute of an SVG polyline."""

    title: str
    points: str


@dataclass(frozen=True)
class RocChart:
    """One model; `band` is an SVG polygon, for a single output only.

    `left_out` names the outputs of which the test images show one class only.
    """

    title: str
    caption: str
    description: str
    frame: Frame
    lines: tuple[Line, ...]
    band: str
    left_out: tuple[str, ...]


def roc_chart(combination: Combination, records: Sequence[Record]) -> RocChart | None:
    """Draw what the model predicts for the test images; None where the run does not hold it.

    Areas are those of `records`, never computed here.
    """
    c = combination
    if c.test is None:
        return None
    scores = {
        record.output: cell_of([record])
        for record in records
        if record.explainer is None
        and record.metric == "auroc"
        and (record.dataset, model_of(record), record.seed) == (c.dataset, c.model, c.seed)
    }
    prediction, positive = c.test.prediction, c.test.positive
    both = [bool(shown.any() and not shown.all()) for shown in positive.T]
    single = len(c.outputs) == 1
    lines, told = [], []
    for k in np.flatnonzero(both):
        name = c.outputs[k]
        told.append(f"{name}: {_area(scores.get('all' if single else name))}")
        lines.append(Line(told[-1], _points(*curve(prediction[:, k], positive[:, k]))))
    whole = _area(scores.get("all"))
    n = f"n = {len(positive):,} test images"
    axes = ("false positive rate", "true positive rate", SHARES, turned(SHARES, SIDE))
    return RocChart(
        title=whose(c),
        caption=f"{finding_of(c, 0)}: {whole}, {n}" if single else f"macro {whole}, {n}",
        description="; ".join(told),
        frame=Frame(SIDE, SIDE, *axes),
        lines=tuple(lines),
        band=_band(prediction[:, 0], positive[:, 0]) if single and lines else "",
        left_out=tuple(n for n, drawn in zip(c.outputs, both, strict=True) if not drawn),
    )


def curve(prediction: NDArray[np.float32], positive: NDArray[np.bool_]) -> tuple[Float, Float]:
    """False and true positive rates (m,) from (0, 0) to (1, 1); equal predictions are one step.

    `prediction` (n,), `positive` (n,) with both classes.
    """
    fpr, tpr = _rates(prediction, positive, np.ones((1, len(prediction))))
    return fpr[0], tpr[0]


def _rates(
    prediction: NDArray[np.float32], positive: NDArray[np.bool_], weights: Float
) -> tuple[Float, Float]:
    """Rates (r, m) with the images weighted by each row of `weights` (r, n)."""
    order = np.argsort(-prediction, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(prediction[order]) != 0, True))  # of runs of ties
    rates = []
    for wanted in (~positive, positive):
        total = np.cumsum(weights[:, order] * wanted[order], axis=1)[:, ends]
        rates.append(np.pad(total, ((0, 0), (1, 0))) / total[:, -1:])
    return rates[0], rates[1]


def _band(prediction: NDArray[np.float32], positive: NDArray[np.bool_]) -> str:
    """Where 95 % of curves of resampled images run, at each false positive rate."""
    n = len(prediction)
    rng = np.random.default_rng(0)
    heights = []
    for _ in range(_RESAMPLES // _CHUNK):
        drawn = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(_CHUNK)]
        weights = np.stack(drawn).astype(np.float64)
        hits = (weights * positive).sum(axis=1)
        weights = weights[(hits > 0) & (hits < n)]  # a curve needs both classes
        fpr, tpr = _rates(prediction, positive, weights)
        heights += [np.interp(_GRID, x, y) for x, y in zip(fpr, tpr, strict=True)]
    if not heights:
        return ""
    low, high = np.quantile(np.stack(heights), [0.025, 0.975], axis=0)
    return _points(np.append(_GRID, _GRID[::-1]), np.append(high, low[::-1]))


def _points(x: Float, y: Float) -> str:
    """Rates as SVG points, rounded to half units and without those that bend nothing."""
    exact = np.column_stack([x, 1 - y]) * SIDE
    halves = np.round(exact * 2)
    moved = np.append(True, (np.diff(halves, axis=0) != 0).any(axis=1))
    path = halves[moved]
    ahead, behind = np.diff(path[1:], axis=0), np.diff(path[:-1], axis=0)
    bends = ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]
    path = path[np.concatenate([[True], bends, [True]])] / 2
    return " ".join(f"{a:g},{b:g}" for a, b in path)


def _area(cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return "AUC not recorded"
    span = text.interval(cell, 3, " to ")
    return f"AUC {text.number(cell.value, 3)}" + (f" ({span})" if span else "")
