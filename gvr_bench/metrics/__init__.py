"""The scoreboard's metrics: one function each, declared once with direction, range and source."""

from __future__ import annotations

from gvr_bench.metrics.base import Evidence, Metric, Score, score
from gvr_bench.metrics.cost import COST
from gvr_bench.metrics.prediction import PREDICTION_VERSION, predict_scores
from gvr_bench.metrics.truth import TRUTH
from gvr_bench.metrics.validity import VALIDITY

METRICS: tuple[Metric, ...] = (*TRUTH, *VALIDITY, *COST)

__all__ = [
    "METRICS",
    "PREDICTION_VERSION",
    "Evidence",
    "Metric",
    "Score",
    "predict_scores",
    "score",
]
