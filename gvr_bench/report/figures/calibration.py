"""Predicted probabilities of the model against observed frequencies.

Expected calibration error: Guo et al. 2017, equation 3; Brier score: Brier 1950; intervals of
shares: Wilson 1927.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.figures import Chart, Figure
from gvr_bench.report.figures.style import ACCENT, MUTED, SQUARE, Canvas, unit_square

BINS = 10


@dataclass(frozen=True)
class Bin:
    """n predictions between `low` and `high`, their mean, and the share of positives among them.

    `interval` is the 95 % Wilson interval of `observed`.
    """

    low: float
    high: float
    n: int
    predicted: float
    observed: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    bins: tuple[Bin, ...]

    def draw(self, figure: Canvas) -> None:
        figure.set_figheight(SQUARE + 0.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
        unit_square(upper)
        upper.set_box_aspect(None)  # as wide as the lower axes
        upper.set_ylabel("observed frequency")
        lower.set(xlabel="predicted probability", ylabel="n")
        for b in self.bins:
            upper.plot([b.predicted] * 2, b.interval, color=ACCENT, alpha=0.35, linewidth=3)
            middle, width = (b.low + b.high) / 2, 0.9 * (b.high - b.low)
            lower.bar(middle, b.n, width, color=MUTED, alpha=0.5)
        points = zip(*((b.predicted, b.observed) for b in self.bins), strict=True)
        upper.plot(*points, "o", color=ACCENT, markersize=4.5)
        lower.set_yticks([max(b.n for b in self.bins)])
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.grid(visible=False)


def calibration(c: Combination) -> Chart | None:
    """All outputs pooled; None for a regression."""
    if c.test is None or c.kind == "regression" or not c.test.prediction.size:
        return None
    known = np.isfinite(c.test.prediction)
    if c.test.target is not None and c.test.target.shape == known.shape:
        known &= np.isfinite(c.test.target)  # an output that is not labelled is not absent
    p, positive = c.test.prediction[known].astype(np.float64), c.test.positive[known]
    if not len(p) or p.min() < 0 or p.max() > 1:
        return None
    bins, outputs = binned(p, positive), len(c.outputs)
    brier = float(np.mean((p - positive) ** 2))
    count = f"{len(p):,} predictions of {len(known):,}" if outputs > 1 else f"{len(p):,}"
    return Chart(
        "calibration",
        "Calibration",
        f"Expected calibration error {calibration_error(bins):.3f}, Brier score {brier:.3f}, "
        f"{count} test images",
        "; ".join(
            f"{b.low:g} to {b.high:g}: predicted {b.predicted:.2f}, observed {b.observed:.2f} "
            f"({b.interval[0]:.2f} to {b.interval[1]:.2f}), n = {b.n:,}"
            for b in bins
        ),
        Calibration(bins),
        f"All {outputs} outputs are pooled. Outputs of one image are not independent, so the "
        "intervals are too narrow."
        if outputs > 1
        else "",
    )


def binned(prediction: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Bins of equal width that hold anything; `prediction` (n,) in 0..1, `positive` (n,)."""
    from scipy.stats import binomtest

    number = np.minimum((prediction * BINS).astype(int), BINS - 1)
    bins = []
    for b in np.unique(number):
        inside = number == b
        n, hits = int(inside.sum()), int(positive[inside].sum())
        ends = binomtest(hits, n).proportion_ci(method="wilson")
        mean = float(prediction[inside].mean())
        bins.append(Bin(b / BINS, (b + 1) / BINS, n, mean, hits / n, (ends.low, ends.high)))
    return tuple(bins)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance between predicted and observed, weighted by the size of the bins."""
    distances = [abs(b.observed - b.predicted) for b in bins]
    return float(np.average(distances, weights=[b.n for b in bins]))


FIGURE = Figure("model", lambda c, _: [calibration(c)], section="models", place=1)
