"""How good the explained model itself is, on the test split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gvr_bench.metrics.base import LEVEL, RESAMPLES, Score, Values, score
from gvr_bench.types import Task

PREDICTION_VERSION = "1"
CHUNK = 100  # resamples at a time, to bound memory
DIRECTION = {"auroc": "up", "accuracy": "up", "mae": "down"}


@dataclass(frozen=True)
class PredictionScore:
    """A metric of the model for one output, or for `all`; `reason` where it is not defined."""

    metric: str
    finding: str
    score: Score
    reason: str = ""


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
    aucs = []
    for k, name in enumerate(task.outputs):
        one = auroc(predictions[:, k], positive[:, k])
        aucs.append(one)
        reason = "" if one.n else "the test split has one class only"
        if len(task.outputs) > 1:
            yield PredictionScore("auroc", name, one, reason)
    known = [auc for auc in aucs if auc.value is not None]
    if len(task.outputs) == 1:
        reason = "" if known else "the test split has one class only"
        yield PredictionScore("auroc", "all", aucs[0], reason)
    elif known:
        yield PredictionScore("auroc", "all", macro(predictions, positive))
    if task.kind == "multiclass":
        right = predictions.argmax(axis=1) == targets[:, 0]
        yield PredictionScore("accuracy", "all", score(right))
    else:
        right = (predictions >= thresholds) == positive
        yield PredictionScore("accuracy", "all", score(right.mean(axis=1)))
    if task.kind == "regression":
        error = np.abs(task.scale.invert(predictions) - targets).mean(axis=1)
        yield PredictionScore("mae", "all", score(error))


def auroc(prediction: NDArray[np.float32], positive: NDArray[np.bool_]) -> Score:
    """Area under the ROC curve of one output with a bootstrap interval over images."""
    return macro(prediction[:, None], positive[:, None])


def macro(predictions: NDArray[np.float32], positive: NDArray[np.bool_]) -> Score:
    """Mean AUROC over the outputs (N, K) that have both classes, resampling images jointly."""
    from sklearn.metrics import roc_auc_score

    n, outputs = positive.shape
    both = [k for k in range(outputs) if positive[:, k].any() and not positive[:, k].all()]
    if not both:
        return Score(None, None, None, 0)
    whole = np.mean([roc_auc_score(positive[:, k], predictions[:, k]) for k in both])
    rng = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES // CHUNK):
        weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(CHUNK)])
        columns = [weighted_auc(predictions[:, k], positive[:, k], weights) for k in both]
        known = (~np.isnan(columns)).sum(axis=0)
        means.append(np.nansum(columns, axis=0)[known > 0] / known[known > 0])
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(float(whole), float(low), float(high), n)


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
