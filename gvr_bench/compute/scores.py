"""The stage that scores explanations by one group of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.arrays import write_arrays
from gvr_bench.compute.bench import Bench
from gvr_bench.compute.evidence import gather_evidence
from gvr_bench.formats import write_json
from gvr_bench.metrics import METRICS, Evidence, Metric, Score, score
from gvr_bench.metrics.base import NO_SCORE
from gvr_bench.plugins import one_line

Row = dict[str, Any]
UNKNOWN, UNSEEN = "known for none of the cases", "the model sees none of the cases"


def compute_scores(bench: Bench) -> None:
    """Score one explainer's maps and counterfactuals, one value per case and metric.

    Cases whose finding the model itself does not see are left out (NaN) for every explainer
    alike: there is nothing to explain away. A metric that raises is a row with its reason.
    """
    group = bench.stage.settings["group"]
    evidence, asked = gather_evidence(bench, group)
    source = bench.arrays("cases", "source")["source"]
    names = bench.dataset().task.outputs
    rows: list[Row] = []
    arrays = {}
    for metric in METRICS:
        if metric.group != group:
            continue
        try:
            found = values_of(metric, evidence)
        except Exception as error:  # one metric must not take the others along
            rows.append(row(metric, "all", reason=f"{metric.name}: {one_line(error)}"))
            continue
        if found is None:
            rows.append(row(metric, "all", reason=metric.needs))
        elif isinstance(found, Score):
            rows.append(row(metric, "all", found, metric.needs))
        elif metric.of_cases:
            arrays[metric.name] = values = np.where(asked, found, np.nan)
            for finding, cases in by_finding(names, source):
                seen = asked[cases].any()
                missing = UNKNOWN if seen else UNSEEN
                rows.append(row(metric, finding, score(values[cases]), missing))
        else:
            rows.append(row(metric, "all", score(found), metric.needs))
    write_arrays(bench.out("values.h5"), arrays)
    write_json(bench.out("scores.json"), rows)


def values_of(metric: Metric, evidence: Evidence) -> NDArray[np.float64] | Score | None:
    """Compute a metric; raises `ValueError` where it does not return what it should."""
    found = metric(evidence)
    if found is None or isinstance(found, Score):
        return found
    values = found.detach().cpu().numpy()
    expected = (len(evidence),) if metric.of_cases else (values.size,)
    if values.shape != expected:
        raise ValueError(f"returned shape {values.shape}, not {expected}")
    return values


def row(metric: Metric, finding: str, found: Score = NO_SCORE, reason: str = "") -> Row:
    """Describe one score, or why there is none."""
    reason = reason if found.value is None else ""
    return {
        "metric": metric.name,
        "finding": finding,
        "reason": reason,
        **dataclasses.asdict(found),
    }


def by_finding(
    names: tuple[str, ...], source: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield which cases are of any finding, then of each output where there are several."""
    yield "all", np.ones(len(source), bool)
    present = np.unique(source)
    if len(present) > 1:
        for k in present:
            yield names[k], source == k
