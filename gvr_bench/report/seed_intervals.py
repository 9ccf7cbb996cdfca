"""The interval of a score, or of its mean over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from gvr_bench.metrics.seeds import seed_mean
from gvr_bench.report.metric_info import entry, per_case

Spans = Literal["cases", "seeds and cases", "seeds"]


def interval_of(scores: Sequence[Any], value: float) -> tuple[float | None, float | None, Spans]:
    """Return the interval of the mean `value` of scores, one per seed, and what it spans.

    It allows for other `cases`, where seeds are several for other `seeds and cases`. `seeds` are
    but the lowest and highest of them, where values of single cases are unknown.
    """
    if len(scores) == 1:
        return scores[0].low, scores[0].high, "cases"
    metric, columns = entry(scores[0].metric), [score.values for score in scores]
    lengths = {-1 if column is None else len(column) for column in columns}
    if per_case(metric.name) and len(lengths) == 1 and -1 not in lengths:
        mean = seed_mean(np.stack(columns))
        if mean is not None:
            ends = replace(mean, value=value).interval(metric.lowest, metric.highest)
            return *ends, "seeds and cases"
    values = [float(score.value) for score in scores]
    return min(values), max(values), "seeds"
