"""The stage that scores explanations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gvr_bench.compute.bench import Bench
from gvr_bench.formats import read_arrays, write_arrays, write_json
from gvr_bench.metrics import METRICS, Evidence, score


def compute_scores(bench: Bench) -> None:
    """Score one explainer's maps and counterfactuals, one value per case and metric.

    Cases whose finding the model itself does not see are left out (NaN) for every explainer
    alike: there is nothing to explain away.
    """
    evidence, asked = gather_evidence(bench)
    source = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"), "source")["source"]
    names = bench.dataset().task.outputs
    rows, arrays = [], {}
    missing = "known for none of the cases" if asked.any() else "the model sees none of the cases"
    for metric in METRICS:
        values = metric.function(evidence)
        if values is None:
            rows.append({"metric": metric.name, "finding": "all", "reason": metric.needs})
            continue
        values = np.where(asked, np.asarray(values, np.float64), np.nan)
        arrays[metric.name] = values
        for finding, part in by_finding(names, source, values):
            rows.append(
                {
                    "metric": metric.name,
                    "finding": finding,
                    "reason": "" if (~np.isnan(part)).any() else missing,
                    **dataclasses.asdict(score(part)),
                }
            )
    write_arrays(bench.out("values.h5"), arrays)
    write_json(bench.out("scores.json"), rows)


def by_finding(
    names: tuple[str, ...], source: NDArray[np.int64], values: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the values of all cases, then of each output where there are several."""
    yield "all", values
    present = np.unique(source)
    if len(present) > 1:
        for k in present:
            yield names[k], values[source == k]


def gather_evidence(bench: Bench) -> tuple[Evidence, NDArray[np.bool_]]:
    """Read what the metrics look at, and which cases were asked."""
    made = read_arrays(bench.file(bench.stage.input("explanations"), "explanations.h5"))
    cases = read_arrays(bench.file(bench.stage.input("cases"), "cases.h5"))
    image = cases["image"].astype(np.float32) / 127.5 - 1
    change = None
    if "counterfactual" in cases:
        twin = cases["counterfactual"].astype(np.float32) / 127.5 - 1
        change = (image - twin).mean(axis=1)
    fields = {field.name for field in dataclasses.fields(Evidence)}
    known = {name: array for name, array in made.items() if name in fields}
    evidence = Evidence(
        task=bench.dataset().task,
        image=image,
        mask=cases.get("mask"),
        true_change=change,
        **known,
    )
    return evidence, made["asked"]
