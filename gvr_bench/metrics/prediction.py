"""How good the explained model itself is, on the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import Task
from gvr_bench.metrics.base import (
    ENDS,
    INFINITE,
    NO_SCORE,
    RESAMPLES,
    Declaration,
    Score,
    Values,
    resamples,
    score,
)

PREDICTION_VERSION = "2"
ONE_CLASS = "the test split has one class only"
SEES_LATENTS = "the head sees latents, not images"

PREDICTION = (
    Declaration(
        "auroc",
        "prediction",
        "AUROC",
        "up",
        0,
        1,
        "area under the receiver operating curve; 0.5 is chance",
        "share of (positive, negative) pairs that the prediction puts in order, ties counting half",
        "Rare findings: a high area goes with many false alarms per true one.",
        "scikit-learn, roc_auc_score",
        ONE_CLASS,
        version=PREDICTION_VERSION,
    ),
    Declaration(
        "average_precision",
        "prediction",
        "average precision",
        "up",
        0,
        1,
        "area under precision and recall; chance is the share of positives",
        "sum of precision at each positive, by falling prediction, over the positives",
        "The share of positives: compare on one split only.",
        "scikit-learn, average_precision_score",
        ONE_CLASS,
        version=PREDICTION_VERSION,
    ),
    Declaration(
        "accuracy",
        "prediction",
        "accuracy",
        "up",
        0,
        1,
        "share of predictions that are right",
        "share of images whose largest output is their class, or whose prediction lies on the "
        "right side of the threshold, averaged over findings",
        "Rare findings: calling none is right most of the time.",
        "scikit-learn, accuracy_score",
        version=PREDICTION_VERSION,
    ),
    Declaration(
        "mae",
        "prediction",
        "MAE",
        "down",
        0,
        INFINITE,
        "mean absolute error of the prediction",
        "mean of |f(x) - y|, in the unit of the task",
        "Skewed targets: a few large values make most of it.",
        "scikit-learn, mean_absolute_error",
        unit="task",
        version=PREDICTION_VERSION,
    ),
    Declaration(
        "decoded_agreement",
        "prediction",
        "agreement through the decoder",
        "up",
        0,
        1,
        "share of decisions on the images themselves that stay when these are encoded and decoded",
        "share of (image, output) pairs of the test split for which h(x) and h(G(E(x))) lie on one "
        "side of the threshold; for classes, of images with one largest output",
        "Rare findings: a classifier that calls none agrees with itself.",
        "ours",
        SEES_LATENTS,
        version=PREDICTION_VERSION,
    ),
    Declaration(
        "raw_auroc",
        "prediction",
        "AUROC on the images themselves",
        "up",
        0,
        1,
        "area under the receiver operating curve of the classifier without the decoder",
        "that of h(x), as for AUROC, which is that of h(G(E(x)))",
        "Rare findings: a high area goes with many false alarms per true one.",
        "scikit-learn, roc_auc_score",
        f"{SEES_LATENTS}, or {ONE_CLASS}",
        version=PREDICTION_VERSION,
    ),
)


@dataclass(frozen=True)
class PredictionScore:
    """A metric of the model for one output, or for `all`; `reason` where it is not defined."""

    metric: str
    output: str
    score: Score
    reason: str = ""


@dataclass(frozen=True)
class Statistic:
    """A number made of predictions and classes: of all images, and under weights (R, N)."""

    whole: Callable[[NDArray[np.bool_], NDArray[np.float32]], float]
    weighted: Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]], Values]


@dataclass(frozen=True)
class Drawn:
    """A statistic of outputs: of all n images (K,), and of resamples (K, R); NaN for one class."""

    n: int
    whole: Values
    resamples: Values

    def mean(self, outputs: slice = slice(None)) -> Score:
        """Average over those of the outputs that have both classes, with its interval."""
        both = ~np.isnan(self.whole[outputs])
        if not both.any():
            return NO_SCORE
        columns = self.resamples[outputs][both]
        known = (~np.isnan(columns)).sum(axis=0)
        means = np.nansum(columns, axis=0)[known > 0] / known[known > 0]
        low, high = np.quantile(means, ENDS)
        whole = float(self.whole[outputs][both].mean())
        return Score(whole, float(low), float(high), self.n)


def predict_scores(
    task: Task,
    predictions: NDArray[np.float32],
    targets: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> Iterator[PredictionScore]:
    """Score activated predictions (N, K) against targets (N, columns) in the task's unit.

    Regression predictions come scaled, as the head makes them, and their error is in the unit;
    `thresholds` (K,) are where a prediction counts as positive.
    """
    positive = task.positives(targets)  # (N, K)
    yield from areas("auroc", AUROC, task, predictions, positive)
    yield from areas("average_precision", AVERAGE_PRECISION, task, predictions, positive)
    if task.kind == "multiclass":
        right = predictions.argmax(axis=1) == targets[:, 0]
        yield PredictionScore("accuracy", "all", score(right))
    else:
        right = (predictions >= thresholds) == positive
        yield PredictionScore("accuracy", "all", score(right.mean(axis=1)))
    if task.kind == "regression":
        error = np.abs(task.scale.invert(predictions) - targets).mean(axis=1)
        yield PredictionScore("mae", "all", score(error))


def areas(
    metric: str,
    statistic: Statistic,
    task: Task,
    predictions: NDArray[np.float32],
    positive: NDArray[np.bool_],
) -> Iterator[PredictionScore]:
    """Score each of several outputs (N, K), then all together."""
    drawn = draw(predictions, positive, statistic)
    several = task.outputs if len(task.outputs) > 1 else ()
    means = {name: drawn.mean(slice(k, k + 1)) for k, name in enumerate(several)}
    for finding, mean in (*means.items(), ("all", drawn.mean())):
        yield PredictionScore(metric, finding, mean, "" if mean.n else ONE_CLASS)


def decoded_scores(
    task: Task,
    raw: NDArray[np.float32],
    decoded: NDArray[np.float32],
    targets: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> Iterator[PredictionScore]:
    """Hold activated predictions (N, K) of decoded images against those of the images themselves.

    See `predict_scores` for the rest.
    """
    if task.kind == "multiclass":
        alike = raw.argmax(axis=1) == decoded.argmax(axis=1)
        yield PredictionScore("decoded_agreement", "all", score(alike))
    else:
        alike = (raw >= thresholds) == (decoded >= thresholds)
        yield PredictionScore("decoded_agreement", "all", score(alike.mean(axis=1)))
    yield from areas("raw_auroc", AUROC, task, raw, task.positives(targets))


def draw(
    predictions: NDArray[np.float32], positive: NDArray[np.bool_], statistic: Statistic
) -> Drawn:
    """Take a statistic of each output (N, K), and again of images resampled for all jointly."""
    n, outputs = positive.shape
    both = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
    whole, drawn = np.full(outputs, np.nan), np.full((outputs, RESAMPLES), np.nan)
    rng = np.random.default_rng(0)
    for k in both:
        whole[k] = statistic.whole(positive[:, k], predictions[:, k])
    for part in resamples(n) if len(both) else ():
        times = range(part.start, part.stop)
        weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in times])
        for k in both:
            drawn[k, part] = statistic.weighted(predictions[:, k], positive[:, k], weights)
    return Drawn(n, whole, drawn)


def weighted_auc(
    prediction: NDArray[np.float32], positive: NDArray[np.bool_], weights: NDArray[np.int64]
) -> Values:
    """AUROC under each row of `weights` (R, N); NaN where a class has no weight. (R,).

    It is the share of (positive, negative) pairs in the right order, ties counting half.
    """
    order = np.argsort(prediction, kind="stable")
    starts = np.flatnonzero(np.diff(prediction[order], prepend=-np.inf))  # of runs of ties
    sorted_weights = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    misses = np.add.reduceat(sorted_weights * ~positive[order], starts, axis=1)
    below = np.cumsum(misses, axis=1) - misses / 2
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    right = (hits * below).sum(axis=1)
    auc: Values = np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return auc


def weighted_precision(
    prediction: NDArray[np.float32], positive: NDArray[np.bool_], weights: NDArray[np.int64]
) -> Values:
    """Average precision under each row of `weights` (R, N); NaN without positives. (R,)."""
    order = np.argsort(-prediction, kind="stable")
    starts = np.flatnonzero(np.diff(-prediction[order], prepend=-np.inf))  # of runs of ties
    sorted_weights = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    seen = np.cumsum(np.add.reduceat(sorted_weights, starts, axis=1), axis=1)
    precision = np.divide(np.cumsum(hits, axis=1), seen, out=np.zeros_like(seen), where=seen > 0)
    total = hits.sum(axis=1)
    area = (hits * precision).sum(axis=1)
    average: Values = np.divide(area, total, out=np.full(len(total), np.nan), where=total > 0)
    return average


def sklearn_auroc(positive: NDArray[np.bool_], prediction: NDArray[np.float32]) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, prediction))


def sklearn_precision(positive: NDArray[np.bool_], prediction: NDArray[np.float32]) -> float:
    """Average precision."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, prediction))


AUROC = Statistic(sklearn_auroc, weighted_auc)
AVERAGE_PRECISION = Statistic(sklearn_precision, weighted_precision)
