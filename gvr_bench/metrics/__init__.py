"""The scoreboard's metrics: one function each, declared once with direction, range and source."""

from __future__ import annotations

from gvr_bench.metrics.base import GROUPS, Declaration, Evidence, Group, Metric, Score, score
from gvr_bench.metrics.cost import COST
from gvr_bench.metrics.decoding import DECODING, ORACLE_PREDICTION
from gvr_bench.metrics.faithfulness import FAITHFULNESS
from gvr_bench.metrics.ground_truth import TRUTH
from gvr_bench.metrics.oracle import ORACLE
from gvr_bench.metrics.prediction import PREDICTION, decoded_scores, predict_scores
from gvr_bench.metrics.proximity import PROXIMITY
from gvr_bench.metrics.realism import REALISM
from gvr_bench.metrics.robustness import ROBUSTNESS
from gvr_bench.metrics.sanity import SANITY
from gvr_bench.metrics.simulatability import USEFULNESS
from gvr_bench.metrics.stability import CONTAMINATION, REPEATABILITY
from gvr_bench.metrics.validity import VALIDITY

METRICS: tuple[Metric, ...] = (
    *TRUTH, *VALIDITY, *ORACLE, *PROXIMITY, *REALISM, *FAITHFULNESS, *ROBUSTNESS, *SANITY,
    *CONTAMINATION, *REPEATABILITY, *USEFULNESS, *COST,
)  # fmt: skip
DECLARED: dict[str, Declaration] = {
    m.name: m for m in (*PREDICTION, *ORACLE_PREDICTION, *DECODING, *METRICS)
}

__all__ = [
    "DECLARED",
    "GROUPS",
    "METRICS",
    "Declaration",
    "Evidence",
    "Group",
    "Metric",
    "Score",
    "decoded_scores",
    "predict_scores",
    "score",
]
