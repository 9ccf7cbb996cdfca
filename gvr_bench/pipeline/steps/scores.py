"""The stage that scores explanations by one group of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.cache.serialization import write_json
from gvr_bench.core.errors import one_line
from gvr_bench.metrics import METRICS, Evidence, Metric, Score, score
from gvr_bench.metrics.base import NO_SCORE
from gvr_bench.pipeline.stage_context import StageContext, Step
from gvr_bench.pipeline.steps.metric_inputs import VERDICT, Witness
from gvr_bench.pipeline.steps.shards import Arrays, Work, in_parts, joined

Row = dict[str, Any]
VALUES, FAILED = "values:", "failed:"
UNKNOWN, UNSEEN = "known for none of the cases", "the model sees none of the cases"


def compute_scores(stage_ctx: StageContext) -> None:
    """Score one explainer's maps and counterfactuals, one value per case and metric.

    Cases whose finding the model itself does not see are left out (NaN) for every explainer
    alike: there is nothing to explain away. A metric that raises is a row with its reason.
    """
    witness = Witness(stage_ctx, stage_ctx.stage.settings["group"])
    parts = list(in_parts(stage_ctx, lambda _: values_by(witness)))
    told = [arrays for _, arrays in parts]
    asked = stage_ctx.arrays("explanations", "predicts_source")["predicts_source"]
    source = stage_ctx.arrays("cases", "source_class")["source_class"]
    names = stage_ctx.dataset().task.outputs
    rows: list[Row] = []
    arrays = {}
    for metric in metrics_of(stage_ctx):
        if not metric.of_cases:
            rows.append(beyond_cases(metric, witness, told))
            continue
        reason = failure(metric, told)
        found = None if reason else together(metric, parts)
        if found is None:
            rows.append(row(metric, "all", reason=reason or metric.needs))
            continue
        arrays[metric.name] = values = np.where(asked, found, np.nan)
        for finding, cases in by_finding(names, source):
            missing = UNKNOWN if asked[cases].any() else UNSEEN
            rows.append(row(metric, finding, score(values[cases]), missing))
    write_arrays(stage_ctx.out("values.h5"), arrays)
    write_json(stage_ctx.out("scores.json"), rows)
    verdicts = joined([named(VERDICT, part) for part in told])
    if verdicts:
        write_arrays(stage_ctx.out("verdicts.h5"), verdicts)


def metrics_of(stage_ctx: StageContext) -> list[Metric]:
    """Return the metrics of the stage's group."""
    return [metric for metric in METRICS if metric.group == stage_ctx.stage.settings["group"]]


def scoring(stage_ctx: StageContext) -> Work:
    """Get ready to compute the metrics that have a value for each case."""
    return values_by(Witness(stage_ctx, stage_ctx.stage.settings["group"]))


def values_by(witness: Witness) -> Work:
    """Compute the metrics that have a value for each case from what a witness tells of it."""
    metrics = [metric for metric in metrics_of(witness.stage_ctx) if metric.of_cases]

    def work(rows: slice) -> Arrays:
        evidence, arrays = witness.of(rows)
        for metric in metrics:
            try:
                found = values_of(metric, evidence)
            except Exception as error:  # one metric must not take the others along
                arrays[FAILED + metric.name] = np.array([one_line(error)])
                continue
            if isinstance(found, np.ndarray):
                arrays[VALUES + metric.name] = found
        return arrays

    return work


def together(metric: Metric, parts: Sequence[tuple[slice, Arrays]]) -> NDArray[np.float64] | None:
    """Return a metric's values (N,), NaN in parts that have none; None where none has."""
    found = [named(VALUES, arrays).get(metric.name) for _, arrays in parts]
    if all(values is None for values in found):
        return None
    missing = [np.full(rows.stop - rows.start, np.nan) for rows, _ in parts]
    return np.concatenate([v if v is not None else m for v, m in zip(found, missing, strict=True)])


def failure(metric: Metric, told: Sequence[Arrays]) -> str:
    """Say why a metric could not be computed; empty where it could."""
    reasons = [part[FAILED + metric.name] for part in told if FAILED + metric.name in part]
    return f"{metric.name}: {reasons[0][0]}" if reasons else ""


def beyond_cases(metric: Metric, witness: Witness, told: Sequence[Arrays]) -> Row:
    """Score what is no mean over cases."""
    try:
        found = values_of(metric, witness.of_all(told))
    except Exception as error:  # one metric must not take the others along
        return row(metric, "all", reason=f"{metric.name}: {one_line(error)}")
    if found is None:
        return row(metric, "all", reason=metric.needs)
    return row(metric, "all", found if isinstance(found, Score) else score(found), metric.needs)


def named(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names begin so, under the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def values_of(metric: Metric, evidence: Evidence) -> NDArray[np.float64] | Score | None:
    """Compute a metric; raises `ValueError` where it does not return what it should."""
    found = metric(evidence)
    if found is None or (isinstance(found, Score) and not metric.of_cases):
        return found
    if isinstance(found, Score):
        raise ValueError("returned a whole score, and is declared as one of cases")
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
        "output": finding,
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


STEPS = (
    Step("scores", compute_scores, inputs=("explanations", "cases"), sharded=scoring, gpu=0.25),
)
