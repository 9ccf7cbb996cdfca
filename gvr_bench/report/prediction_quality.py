"""How well a model predicts the test images, as the data of figures: ROC, calibration, regression.

Expected calibration error: Guo et al. 2017, equation 3; Brier score: Brier 1950; intervals of
shares: Wilson 1927.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.figure_data import (
    Bool,
    Chart,
    Float,
    evenly,
    model_name,
    output_name,
    signed,
)
from gvr_bench.results.records import Record, model_label

BINS = 10
LOG_RATIO = 100  # labels that span this ratio are drawn on logarithmic axes
RESAMPLES = 500
GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Roc:
    """False and true positive rates of each output, and the 95 % band of a single one on `GRID`."""

    curves: tuple[tuple[str, Float, Float], ...]
    band: tuple[Float, Float] | None


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
    """Bins of predicted probabilities that are not empty."""

    bins: tuple[Bin, ...]


@dataclass(frozen=True, eq=False)
class Regression:
    """Predicted against true values (n,) of one output; `thresholds` is empty or holds one."""

    name: str
    true: Float
    predicted: Float
    log: bool
    thresholds: tuple[float, ...]


def roc(c: Combination, records: Sequence[Record]) -> Chart | None:
    """ROC curves on the test images; areas are those of `records`, never computed here."""
    if c.test is None:
        return None
    areas = {
        r.output: r
        for r in records
        if r.explainer is None
        and r.metric == "auroc"
        and (r.dataset, r.seed) == (c.dataset, c.seed)
        and model_label(r.generator, r.encoder, r.head) == c.model
    }
    prediction, positive = c.test.prediction, c.test.positive
    single, both = len(c.outputs) == 1, np.ptp(positive.astype(int), axis=0) > 0
    labels = {k: area(areas.get("all" if single else c.outputs[k])) for k in np.flatnonzero(both)}
    curves = tuple(
        (f"{c.outputs[k]}: {label}", *roc_curve(prediction[:, k], positive[:, k]))
        for k, label in labels.items()
    )
    missing = ", ".join(name for name, ok in zip(c.outputs, both.tolist(), strict=True) if not ok)
    return Chart(
        "roc",
        f"ROC curve{'' if single else 's'}",
        model_name(c),
        f"{output_name(c, 0) if single else 'Mean over outputs'}: {area(areas.get('all'))}, "
        f"{len(positive):,} test images",
        "; ".join(name for name, *_ in curves),
        Roc(curves, roc_band(prediction[:, 0], positive[:, 0]) if single and curves else None),
        f"Not drawn, because all test images have the same label: {missing}" if missing else "",
    )


def area(record: Record | None) -> str:
    if record is None or record.value is None:
        return "AUC not recorded"
    if record.low is None or record.high is None:
        return f"AUC {record.value:.3f}"
    return f"AUC {record.value:.3f} ({record.low:.3f} to {record.high:.3f})"


def roc_curve(prediction: Float, positive: Bool) -> tuple[Float, Float]:
    """False and true positive rates (m,) from (0, 0) to (1, 1); ties are one step."""
    from sklearn import metrics

    fpr, tpr, _ = metrics.roc_curve(positive, prediction, drop_intermediate=False)
    return fpr, tpr


def roc_band(prediction: Float, positive: Bool) -> tuple[Float, Float] | None:
    """Lower and upper end (101,) of 95 % of the curves of resampled images, on `GRID`."""
    n, rng, heights = len(prediction), np.random.default_rng(0), []
    for drawn in rng.integers(0, n, (RESAMPLES, n)):
        if 0 < positive[drawn].sum() < n:  # a curve needs both classes
            heights.append(np.interp(GRID, *roc_curve(prediction[drawn], positive[drawn])))
    if not heights:
        return None
    low, high = np.quantile(np.stack(heights), [0.025, 0.975], axis=0)
    return low, high


def calibration(c: Combination) -> Chart | None:
    """Predicted probabilities against observed frequencies; None for a regression."""
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
        model_name(c),
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


def binned(prediction: Float, positive: Bool) -> tuple[Bin, ...]:
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
    return sum(b.n * abs(b.observed - b.predicted) for b in bins) / sum(b.n for b in bins)


def regressions(c: Combination) -> Iterator[Chart]:
    """Predicted against true values, one chart per output; none for classes."""
    if c.test is None or c.test.target is None or c.kind != "regression":
        return
    if c.test.target.shape != c.test.prediction.shape:
        return
    for name, labels, predictions in zip(
        c.outputs, c.test.target.T, c.test.prediction.T, strict=True
    ):
        known = np.isfinite(labels) & np.isfinite(predictions)
        true, predicted = labels[known].astype(np.float64), predictions[known].astype(np.float64)
        if len(true) < 2 or true.min() == true.max():
            continue
        log = min(true.min(), predicted.min()) > 0 and true.max() / true.min() >= LOG_RATIO
        r2 = r_squared(np.log(true), np.log(predicted)) if log else r_squared(true, predicted)
        error = f"{float(np.median(np.abs(predicted - true))):.3g} {c.unit}".strip()
        facts = (
            f"R² {signed(r2, 3)}{' of the logarithms' if log else ''}, "
            f"median absolute error {error}"
        )
        shown = evenly(len(true))
        unit, thresholds = f" ({c.unit})" if c.unit else "", (c.threshold,) if c.threshold else ()
        yield Chart(
            "predicted",
            "Predicted against true",
            model_name(c),
            f"{facts}, {len(true):,} test images",
            f"{name}: {facts}; labels from {true.min():.3g} to {true.max():.3g}, predictions from "
            f"{predicted.min():.3g} to {predicted.max():.3g}",
            Regression(f"{name}{unit}", true[shown], predicted[shown], log, thresholds),
            f"{len(shown):,} of them are drawn." if len(true) > len(shown) else "",
        )


def r_squared(true: Float, predicted: Float) -> float:
    """1 - residual over total sum of squares; below 0 where the mean does better."""
    residual = np.sum((true - predicted) ** 2)
    return float(1 - residual / np.sum((true - true.mean()) ** 2))
