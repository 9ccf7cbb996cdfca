"""The stage that scores explanations by one group of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.cache.serialization import write_json
from gvr_bench.core.errors import Unsupported, one_line
from gvr_bench.core.types import Bools
from gvr_bench.metrics import Metric, Score, score
from gvr_bench.metrics.statistics import NO_SCORE, not_above
from gvr_bench.pipeline.stage_context import StageContext, Step
from gvr_bench.pipeline.steps.metric_inputs import CaseSource, Networks
from gvr_bench.pipeline.steps.shards import Arrays, Work, in_parts

Row = dict[str, Any]
VALUES, FAILED, COLUMN = "values:", "failed:", "column:"  # prefixes of a part's arrays
UNKNOWN, UNSEEN = "known for none of the cases", "the model sees none of the cases"


def compute_scores(stage_ctx: StageContext) -> None:
    """Score one explainer's maps and counterfactuals, one value per case and metric.

    Cases whose finding the model itself does not predict are left out (NaN) for every explainer
    alike: there is nothing to explain away. A metric that raises is a row with its reason.
    """
    source = CaseSource(stage_ctx, Networks(stage_ctx))
    parts = list(in_parts(stage_ctx, lambda _: scoring(stage_ctx, source)))
    columns: Arrays = {}
    for name in (name for name in parts[0][1] if name.startswith(COLUMN)):
        if all(name in arrays for _, arrays in parts):
            pieces = [arrays[name] for _, arrays in parts]
            columns[name.removeprefix(COLUMN)] = np.concatenate(pieces)
    device = stage_ctx.ctx.device
    tensors = {name: torch.from_numpy(column).to(device) for name, column in columns.items()}
    complete = dataclasses.replace(source, columns=tensors)
    explained = stage_ctx.arrays("explanations", "predicts_source")["predicts_source"]
    values: dict[str, NDArray[Any]] = {}
    reasons: dict[str, str] = {}
    for metric in source.group.metrics:
        if metric.of_cases:
            of_cases, reasons[metric.name] = case_values(metric, complete, parts)
            if of_cases is not None:
                values[metric.name] = np.where(explained, of_cases, np.nan)
    classes = stage_ctx.arrays("cases", "source_class")["source_class"]
    outputs = [("all", np.ones(len(classes), bool))]
    if len(present := np.unique(classes)) > 1:
        outputs += [(source.task.outputs[k], classes == k) for k in present]
    rows: list[Row] = []
    for metric in source.group.metrics:
        if not metric.of_cases:
            rows.append(overall_row(metric, complete))
        elif metric.name in values:
            rows += rows_of(metric, values, explained, outputs)
        else:
            rows.append(row(metric, "all", reason=reasons[metric.name] or metric.needs))
    write_arrays(stage_ctx.out("values.h5"), values)
    write_json(stage_ctx.out("scores.json"), rows)
    if columns:
        write_arrays(stage_ctx.out("columns.h5"), columns)


def scoring(stage_ctx: StageContext, source: CaseSource | None = None) -> Work:
    """Return what computes the metrics that have a value for each case."""
    source = source or CaseSource(stage_ctx, Networks(stage_ctx))
    group = source.group

    def work(rows: slice) -> Arrays:
        if group.case_input is None:
            return {}
        among = stage_ctx.arrays("explanations", "predicts_source", rows=rows)["predicts_source"]
        if group.all_cases or not among.any():
            among = np.ones(len(among), bool)
        data = group.case_input.build(source.part(rows, among))
        arrays: Arrays = {}
        for metric in group.metrics:
            if metric.over != "case":
                continue
            try:
                values = values_of(metric(data), (int(among.sum()),))
            except Unsupported as reason:
                arrays[FAILED + metric.name] = np.array([str(reason)])
                continue
            except Exception as error:  # one metric must not take the others along
                arrays[FAILED + metric.name] = np.array([f"{metric.name}: {one_line(error)}"])
                continue
            if values is not None:
                arrays[VALUES + metric.name] = spread(values, among)
        for name, column in data.columns().items():
            array = column.cpu().numpy()  # with all cases it may have rows of its own
            arrays[COLUMN + name] = array if among.all() else spread(array, among)
        return arrays

    return work


def spread(values: NDArray[Any], among: Bools) -> NDArray[Any]:
    """Put rows (M, ...) where `among` (N,) is true: (N, ...), NaN elsewhere."""
    dtype = np.result_type(values.dtype, np.float32)  # the others have no NaN
    everywhere = np.full((len(among), *values.shape[1:]), np.nan, dtype)
    everywhere[among] = values
    return everywhere


def case_values(
    metric: Metric, source: CaseSource, parts: Sequence[tuple[slice, Arrays]]
) -> tuple[NDArray[Any] | None, str]:
    """Return a metric's values (N,), or None and why there are none; empty where it is its `needs`.

    What compares cases is computed now, after the parts, so that its values do not depend on how
    cases were cut.
    """
    if metric.over == "case":
        name, failed = VALUES + metric.name, FAILED + metric.name
        for _, arrays in parts:
            if failed in arrays:
                return None, str(arrays[failed][0])
        if not any(name in arrays for _, arrays in parts):
            return None, ""
        missing = (np.full(rows.stop - rows.start, np.nan) for rows, _ in parts)
        both = zip(parts, missing, strict=True)
        return np.concatenate([arrays.get(name, nothing) for (_, arrays), nothing in both]), ""
    comparison_input = source.group.comparison_input
    try:
        if comparison_input is None:
            raise ValueError(f"the group '{metric.group}' declares no comparison_input")
        return values_of(metric(comparison_input.build(source)), (parts[-1][0].stop,)), ""
    except Exception as error:  # one metric must not take the others along
        return None, f"{metric.name}: {one_line(error)}"


def rows_of(
    metric: Metric,
    values: Mapping[str, NDArray[Any]],
    explained: Bools,
    outputs: Iterable[tuple[str, Bools]],
) -> Iterator[Row]:
    mine, reference = values[metric.name], values.get(metric.reference)
    for output, cases in outputs:
        missing = UNKNOWN if explained[cases].any() else UNSEEN
        passed = None
        if reference is not None:
            passed = not_above(mine[cases], reference[cases], metric.highest)
        yield row(metric, output, score(mine[cases]), missing, passed)


def overall_row(metric: Metric, source: CaseSource) -> Row:
    overall_input = source.group.overall_input
    try:
        if overall_input is None:
            raise ValueError(f"the group '{metric.group}' declares no overall_input")
        result = metric(overall_input.build(source))
        if not isinstance(result, Score):
            values = values_of(result, (-1,))
            if values is None:
                return row(metric, "all", reason=metric.needs)
            result = score(values)
    except Exception as error:  # one metric must not take the others along
        return row(metric, "all", reason=f"{metric.name}: {one_line(error)}")
    return row(metric, "all", result, metric.needs)


def values_of(result: torch.Tensor | Score | None, shape: tuple[int]) -> NDArray[np.float64] | None:
    """Return values as an array. Raises `ValueError` where they have another shape; -1 is any."""
    if result is None:
        return None
    if isinstance(result, Score):
        raise ValueError("returned a Score, but is declared to have a value per case")
    values: NDArray[np.float64] = result.detach().cpu().numpy()
    if values.ndim != 1 or shape[0] not in (-1, len(values)):
        raise ValueError(f"returned shape {values.shape}, not {shape}")
    return values


def row(
    metric: Metric,
    output: str,
    result: Score = NO_SCORE,
    reason: str = "",
    passed: bool | None = None,
) -> Row:
    return {
        "metric": metric.name,
        "output": output,
        "reason": reason if result.value is None else "",
        **dataclasses.asdict(result),
        "passed": passed,
    }


STEPS = (
    Step("scores", compute_scores, inputs=("explanations", "cases"), sharded=scoring, gpu=0.25),
)
