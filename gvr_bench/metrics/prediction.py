"""How good the explained model itself is, on the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import Task
from gvr_bench.metrics.base import INFINITE, Group
from gvr_bench.metrics.statistics import (
    ENDS,
    NO_SCORE,
    RESAMPLES,
    Score,
    Values,
    resamples,
    score,
)

PREDICTION_VERSION = "2"
ONE_CLASS = "the test split has one class only"
SEES_LATENTS = "the head sees latents, not images"

GROUP = Group(
    "prediction",
    "Model",
    "how good the explained model is, on the test split",
    cost="one pass of each test image",
    criticism="A model that reads the hospital off the image predicts well where that tells "
    "the disease (Zech et al. 2018, PLoS Medicine 15(11)).",
)

GROUP.declare(
    "auroc",
    "AUROC",
    "area under the receiver operating curve; 0.5 is chance",
    formula="share of (positive, negative) pairs that the prediction puts in order, ties "
    "counting half",
    fooled_by="Rare findings: a high area goes with many false alarms per true one.",
    source="scikit-learn, roc_auc_score",
    needs=ONE_CLASS,
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "average_precision",
    "average precision",
    "area under precision and recall; chance is the share of positives",
    formula="sum of precision at each positive, by falling prediction, over the positives",
    fooled_by="The share of positives: compare on one split only.",
    source="scikit-learn, average_precision_score",
    needs=ONE_CLASS,
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "accuracy",
    "accuracy",
    "share of predictions that are right",
    formula="share of images whose largest output is their class, or whose prediction lies on the "
    "right side of the threshold, averaged over findings",
    fooled_by="Rare findings: predicting none is right most of the time.",
    source="scikit-learn, accuracy_score",
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "mae",
    "MAE",
    "mean absolute error of the prediction",
    better="down",
    highest=INFINITE,
    formula="mean of |f(x) - y|, in the unit of the task",
    fooled_by="Skewed targets: a few large values dominate it.",
    source="scikit-learn, mean_absolute_error",
    unit="task",
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "decoded_agreement",
    "agreement through the decoder",
    "share of decisions that do not change when the image is encoded and decoded",
    formula="share of (image, output) pairs of the test split for which h(x) and h(G(E(x))) lie "
    "on one side of the threshold; for classes, of images with one largest output",
    fooled_by="Rare findings: a classifier that predicts none agrees with itself.",
    source="this project",
    needs=SEES_LATENTS,
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "decoded_auroc",
    "AUROC of decoded images",
    "area under the receiver operating curve of the classifier behind encoder and decoder",
    formula="that of h(G(E(x))), as for AUROC, which is that of h(x)",
    fooled_by="Rare findings: a high area goes with many false alarms per true one.",
    source="scikit-learn, roc_auc_score",
    needs=f"{SEES_LATENTS}, no explainer needs a decoder, or {ONE_CLASS}",
    version=PREDICTION_VERSION,
)
GROUP.declare(
    "unseen_images",
    "unseen test images",
    "share of test images that the network was not trained on",
    formula="1 - the share of test images that are among the listed training images, by name or by "
    "pixels, or belong to one of their patients",
    fooled_by="Copies that were cropped, scaled or compressed again are not recognised.",
    source="this project",
    needs="the head does not say what it was trained on",
    version=PREDICTION_VERSION,
)


@dataclass(frozen=True)
class PredictionScore:
    """A metric of the model for one output, or for `all`; `reason` where it is not defined.

    `passed` says whether a score is as good as the data set needs; None where it needs nothing.
    """

    metric: str
    output: str
    score: Score
    reason: str = ""
    passed: bool | None = None


@dataclass(frozen=True)
class Statistic:
    """A number made of predictions and classes: `name` is scikit-learn's function.

    `weighted` computes it under each row of weights (R, N) over the images.
    """

    name: str
    weighted: Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]], Values]


@dataclass(frozen=True)
class Bootstrap:
    """A statistic of outputs: of all n images (K,), and of resamples (K, R); NaN for one class."""

    n: int
    values: Values
    resamples: Values

    def mean(self, outputs: slice = slice(None)) -> Score:
        """Average over those of the outputs that have both classes, with its interval."""
        both = ~np.isnan(self.values[outputs])
        if not both.any():
            return NO_SCORE
        columns = self.resamples[outputs][both]
        known = (~np.isnan(columns)).sum(axis=0)
        means = np.nansum(columns, axis=0)[known > 0] / known[known > 0]
        low, high = np.quantile(means, ENDS)
        value = float(self.values[outputs][both].mean())
        return Score(value, float(low), float(high), self.n)


def predict_scores(
    task: Task,
    predictions: NDArray[np.float32],
    targets: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    least_auroc: float | None = None,
) -> Iterator[PredictionScore]:
    """Score activated predictions (N, K) against targets (N, columns) in the task's unit.

    Regression predictions come scaled, as the head makes them, and their error is in the unit;
    `thresholds` (K,) are where a prediction counts as positive; `least_auroc` is what the data set
    needs.
    """
    positive = task.positives(targets)  # (N, K)
    for area in areas("auroc", AUROC, task, predictions, positive):
        value = area.score.value
        passed = None if value is None or least_auroc is None else value >= least_auroc
        yield replace(area, passed=passed)
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
    resampled = bootstrap(predictions, positive, statistic)
    several = task.outputs if len(task.outputs) > 1 else ()
    means = {name: resampled.mean(slice(k, k + 1)) for k, name in enumerate(several)}
    for output, mean in (*means.items(), ("all", resampled.mean())):
        yield PredictionScore(metric, output, mean, "" if mean.n else ONE_CLASS)


def decoded_scores(
    task: Task,
    raw: NDArray[np.float32],
    decoded: NDArray[np.float32],
    targets: NDArray[np.float32],
    thresholds: NDArray[np.float32],
) -> Iterator[PredictionScore]:
    """Compare activated predictions (N, K) of decoded images with those of the images themselves.

    See `predict_scores` for the rest.
    """
    if task.kind == "multiclass":
        equal = raw.argmax(axis=1) == decoded.argmax(axis=1)
        yield PredictionScore("decoded_agreement", "all", score(equal))
    else:
        equal = (raw >= thresholds) == (decoded >= thresholds)
        yield PredictionScore("decoded_agreement", "all", score(equal.mean(axis=1)))
    yield from areas("decoded_auroc", AUROC, task, decoded, task.positives(targets))


def bootstrap(
    predictions: NDArray[np.float32], positive: NDArray[np.bool_], statistic: Statistic
) -> Bootstrap:
    """Take a statistic of each output (N, K), and again of images resampled for all jointly."""
    import sklearn.metrics

    n, outputs = positive.shape
    both = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
    values, resampled = np.full(outputs, np.nan), np.full((outputs, RESAMPLES), np.nan)
    rng = np.random.default_rng(0)
    for k in both:
        values[k] = getattr(sklearn.metrics, statistic.name)(positive[:, k], predictions[:, k])
    for part in resamples(n) if len(both) else ():
        times = range(part.start, part.stop)
        weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in times])
        for k in both:
            resampled[k, part] = statistic.weighted(predictions[:, k], positive[:, k], weights)
    return Bootstrap(n, values, resampled)


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
    total = np.cumsum(np.add.reduceat(sorted_weights, starts, axis=1), axis=1)
    precision = np.divide(np.cumsum(hits, axis=1), total, out=np.zeros_like(total), where=total > 0)
    positives = hits.sum(axis=1)
    area = (hits * precision).sum(axis=1)
    nothing = np.full(len(positives), np.nan)
    average: Values = np.divide(area, positives, out=nothing, where=positives > 0)
    return average


AUROC = Statistic("roc_auc_score", weighted_auc)
AVERAGE_PRECISION = Statistic("average_precision_score", weighted_precision)
