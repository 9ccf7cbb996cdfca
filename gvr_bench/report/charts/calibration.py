"""How far predictions are right: reliability of probabilities, and predicted against true values.

Expected calibration error: Guo et al. 2017, equation 3; Brier score: Brier 1950; intervals: Wilson
1927.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.charts.axis import Axis, Frame, framed, turned
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.charts.roc import SHARES, SIDE
from gvr_bench.report.charts.shapes import MOST, evenly, path_of

BINS = 10
_BAR = 44.0  # height of the histogram, and what lies between it and the square
_GAP = 8.0
_Z = 1.959964
_DECADES = 100  # labels that span this ratio are drawn on logarithmic axes

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Predictions between `low` and `high`, n of them, and how often the finding was there.

    `span` is the 95 % Wilson interval of `observed`.
    """

    low: float
    high: float
    n: int
    predicted: float
    observed: float
    span: tuple[float, float]


@dataclass(frozen=True)
class Dot:
    """A bin as drawn: its mark with the interval in y, and its bar of the histogram."""

    x: float
    y: float
    span: tuple[float, float]
    left: float
    width: float
    bar: float
    title: str


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities of one model against what was there; `note` says what is pooled."""

    title: str
    caption: str
    note: str
    description: str
    frame: Frame
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Straight:
    """A line across the chart: the identity or a threshold."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Predicted:
    """Predicted against true values of one output; `points` is an SVG path."""

    title: str
    caption: str
    note: str
    description: str
    frame: Frame
    points: str
    identity: Straight
    thresholds: tuple[Straight, ...]


def reliability(combination: Combination) -> Reliability | None:
    """Draw how probabilities match outcomes; None for other tasks and where there are none."""
    c = combination
    if c.test is None or c.kind == "regression" or not c.test.prediction.size:
        return None
    prediction, positive = c.test.prediction, c.test.positive
    kept = np.isfinite(prediction)
    if c.test.target is not None and c.test.target.shape == prediction.shape:
        kept &= np.isfinite(c.test.target)  # a finding nobody looked for is not an absent one
    p, there = prediction[kept].astype(np.float64), positive[kept]
    if not len(p) or p.min() < 0 or p.max() > 1:
        return None
    found = binned(p, there)
    pooled = len(c.outputs) > 1
    many = f"{len(p):,} predictions of {len(prediction):,} test images"
    return Reliability(
        title=whose(c),
        caption=f"expected calibration error {calibration_error(found):.3f}, "
        f"Brier score {brier(p, there):.3f}, "
        + (f"n = {many}" if pooled else f"n = {len(p):,} test images"),
        note=f"Pooled over all {len(c.outputs)} outputs, each against the rest. Those of one "
        "image are not independent, so that the bars are too short."
        if pooled else "",
        description="; ".join(_told(one) for one in found),
        frame=Frame(
            SIDE, SIDE + _GAP + _BAR, "predicted probability", "observed frequency",
            SHARES, turned(SHARES, SIDE),
        ),
        dots=_dots(found),
    )  # fmt: skip


def binned(prediction: Float, positive: NDArray[np.bool_]) -> list[Bin]:
    """Bins of equal width that hold anything; `prediction` (n,) in 0..1, `positive` (n,)."""
    which = np.minimum((prediction * BINS).astype(int), BINS - 1)
    found = []
    for b in np.unique(which):
        mine = which == b
        n, hits = int(mine.sum()), int(positive[mine].sum())
        mean = float(prediction[mine].mean())
        found.append(Bin(b / BINS, (b + 1) / BINS, n, mean, hits / n, wilson(hits, n)))
    return found


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` out of `n`."""
    share, z2 = hits / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration_error(bins: list[Bin]) -> float:
    """Mean distance between predicted and observed, weighted by how many a bin holds."""
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.observed - one.predicted) for one in bins) / total


def brier(prediction: Float, positive: NDArray[np.bool_]) -> float:
    """Mean squared difference between probability and outcome, (n,) each."""
    return float(np.mean((prediction - positive) ** 2))


def _dots(bins: list[Bin]) -> tuple[Dot, ...]:
    most = max(one.n for one in bins)
    return tuple(
        Dot(
            x=round(one.predicted * SIDE, 1),
            y=round((1 - one.observed) * SIDE, 1),
            span=(round((1 - one.span[0]) * SIDE, 1), round((1 - one.span[1]) * SIDE, 1)),
            left=round(one.low * SIDE + 1, 1),
            width=SIDE / BINS - 2,
            bar=round(max(0.8, one.n / most * _BAR), 1),
            title=_told(one),
        )
        for one in bins
    )


def _told(one: Bin) -> str:
    low, high = one.span
    return (
        f"{one.low:g} to {one.high:g}: predicted {one.predicted:.2f}, observed "
        f"{one.observed:.2f} ({low:.2f} to {high:.2f}), n = {one.n:,}"
    )


def predicted(combination: Combination) -> list[Predicted]:
    """Draw predicted against true values, one chart per output; none for classes."""
    c = combination
    if c.test is None or c.test.target is None or c.kind != "regression":
        return []
    if c.test.target.shape != c.test.prediction.shape:
        return []
    pairs = zip(c.test.target.T, c.test.prediction.T, strict=True)
    drawn = (_predicted(c, k, true, made) for k, (true, made) in enumerate(pairs))
    return [chart for chart in drawn if chart is not None]


def _predicted(
    c: Combination, output: int, labels: NDArray[np.float32], predictions: NDArray[np.float32]
) -> Predicted | None:
    kept = np.isfinite(labels) & np.isfinite(predictions)
    true, made = labels[kept].astype(np.float64), predictions[kept].astype(np.float64)
    if len(true) < 2 or true.min() == true.max():
        return None
    log = min(true.min(), made.min()) > 0 and true.max() / true.min() >= _DECADES
    axis = _axis(true, made, log)
    name = f"{c.outputs[output]}{f' ({c.unit})' if c.unit else ''}"
    scale = ", logarithmic" if log else ""
    r2 = determination(np.log(true), np.log(made)) if log else determination(true, made)
    apart = float(np.median(np.abs(made - true)))
    figures = (
        f"R² {_signed(r2)}{' of the logarithms' if log else ''}, "
        f"median absolute error {f'{apart:.3g} {c.unit}'.strip()}"
    )
    shown = evenly(len(true))
    return Predicted(
        title=whose(c),
        caption=f"{figures}, n = {len(true):,} test images",
        note=f"{MOST:,} of them are drawn." if len(true) > len(shown) else "",
        description=f"{c.outputs[output]}: {figures}; labels from {true.min():.3g} to "
        f"{true.max():.3g}, predictions from {made.min():.3g} to {made.max():.3g}",
        frame=framed(axis, axis, f"true {name}{scale}", f"predicted {name}{scale}"),
        points=path_of(axis.places(true[shown]), SIDE - axis.places(made[shown])),
        identity=Straight(0, SIDE, SIDE, 0),
        thresholds=_thresholds(axis, c.threshold),
    )


def determination(true: Float, made: Float) -> float:
    """R²: 1 - residual over total sum of squares, (n,) each; below 0 where the mean does better."""
    return float(1 - np.sum((true - made) ** 2) / np.sum((true - true.mean()) ** 2))


def _axis(true: Float, made: Float, log: bool) -> Axis:
    """One axis for both directions, so that the diagonal is the identity."""
    low, high = float(min(true.min(), made.min())), float(max(true.max(), made.max()))
    if log:
        return Axis(low / 1.15, high * 1.15, SIDE, log=True)
    room = (high - low) * 0.04
    return Axis(low - room, high + room, SIDE)


def _thresholds(axis: Axis, threshold: float | None) -> tuple[Straight, ...]:
    if threshold is None or not axis.low < threshold < axis.high:
        return ()
    at = axis.place(threshold)
    return (Straight(at, 0, at, SIDE), Straight(0, SIDE - at, SIDE, SIDE - at))


def _signed(value: float) -> str:
    return text.number(value, 3).replace("-", "−")
