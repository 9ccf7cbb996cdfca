"""The scoreboard's metrics: one function each, declared once with direction, range and source.

`metrics.pixel_ap(attribution, mask)` and other functions score plain arrays: see `functions`.

A new group of metrics is one module with its input, its `GROUP` and its metrics, listed here.
"""

from __future__ import annotations

from gvr_bench.metrics import (
    cascade,
    complexity,
    contamination,
    cost,
    decoding,
    faithfulness,
    ground_truth,
    intervention,
    oracle,
    prediction,
    proximity,
    realism,
    repeatability,
    robustness,
    sanity,
    simulatability,
    validity,
)
from gvr_bench.metrics.base import Declaration, Group, Metric
from gvr_bench.metrics.functions import (
    case_identification,
    case_specific_correlation,
    deletion_auc,
    distractor_mass,
    emd_score,
    entropy,
    infidelity,
    insertion_auc,
    iou_otsu,
    mass_accuracy,
    pixel_ap,
    pixel_roc_auc,
    pointing_hit,
    sign_accuracy,
    sparseness,
    symmetric_relevance_gain,
    true_change_correlation,
)
from gvr_bench.metrics.prediction import decoded_scores, predict_scores
from gvr_bench.metrics.statistics import Score, score

GROUPS: tuple[Group, ...] = (
    prediction.GROUP, decoding.GROUP, ground_truth.GROUP, intervention.GROUP, validity.GROUP,
    oracle.GROUP, proximity.GROUP, realism.GROUP, faithfulness.GROUP, robustness.GROUP,
    sanity.GROUP, cascade.GROUP, complexity.GROUP, contamination.GROUP, repeatability.GROUP,
    simulatability.GROUP, cost.GROUP,
)  # fmt: skip
METRICS: tuple[Metric, ...] = tuple(metric for group in GROUPS for metric in group.metrics)
DECLARED: dict[str, Declaration] = {
    declared.name: declared
    for group in GROUPS
    for declared in (*group.declarations, *group.metrics)
}

__all__ = [
    "DECLARED",
    "GROUPS",
    "METRICS",
    "Declaration",
    "Group",
    "Metric",
    "Score",
    "case_identification",
    "case_specific_correlation",
    "decoded_scores",
    "deletion_auc",
    "distractor_mass",
    "emd_score",
    "entropy",
    "infidelity",
    "insertion_auc",
    "iou_otsu",
    "mass_accuracy",
    "pixel_ap",
    "pixel_roc_auc",
    "pointing_hit",
    "predict_scores",
    "score",
    "sign_accuracy",
    "sparseness",
    "symmetric_relevance_gain",
    "true_change_correlation",
]
