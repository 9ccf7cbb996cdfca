"""Runs that differ in the number of cases alone, cut to the cases that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.metrics import DECLARED, Metric, score
from gvr_bench.metrics.statistics import not_above
from gvr_bench.report.folder import Run
from gvr_bench.report.metric_info import per_case
from gvr_bench.results.case_scores import Whose
from gvr_bench.results.records import Record

LIMIT = "max_cases"
"""The setting that adds cases behind those that a smaller limit chooses."""

SAME = 0.8
"""Share of the scores of one explainer that agree over two runs: some of them draw noise."""

Family = tuple[object, ...]
Values = Mapping[tuple[Whose, str], NDArray[Any]]


def share_cases(runs: Sequence[Run]) -> list[Run]:
    """Cut the scores of runs to the first cases, which all of them have.

    Scores that compare all cases of a run with one another do not apply to some of them. An
    explainer with the same values as in the smaller run is left to that.
    """
    if len(runs) < 2:
        return list(runs)
    families = [[_family(run, record) for record in run.records] for run in runs]
    smallest: dict[Family, tuple[int, str, Run]] = {}
    for run, known_of in zip(runs, families, strict=True):
        for record, known in zip(run.records, known_of, strict=True):
            if known and known[1] < smallest.get(known[0], (math.inf,))[0]:
                smallest[known[0]] = known[1], record.protocol, run
    return [_cut(run, known, smallest) for run, known in zip(runs, families, strict=True)]


def _family(run: Run, record: Record) -> tuple[Family, int] | None:
    """What scores of nested cases have in common, and the limit of this one."""
    facts = run.protocols.get(record.protocol, {})
    limit = facts.get(LIMIT)
    if record.explainer is None or not isinstance(limit, int):
        return None
    same = sorted((name, str(fact)) for name, fact in facts.items() if name != LIMIT)
    return (record.metric, record.metric_version, record.output, *same), limit


def _cut(
    run: Run,
    families: Sequence[tuple[Family, int] | None],
    smallest: Mapping[Family, tuple[int, str, Run]],
) -> Run:
    records, values, protocols = [], dict(run.values.values), dict(run.protocols)
    longer: dict[Whose, list[tuple[Record, int, str, Run]]] = {}
    for record, known in zip(run.records, families, strict=True):
        if known is None or known[1] == smallest[known[0]][0]:
            records.append(record)
        else:
            longer.setdefault(Whose.of(record), []).append((record, *smallest[known[0]]))
    for whose, scores in longer.items():
        if _repeated(run, whose, scores):
            continue
        for record, limit, protocol, other in scores:
            protocols[protocol] = other.protocols[protocol]
            records.append(replace(_first(record, run.values.values, limit), protocol=protocol))
            if (key := (whose, record.metric)) in values:
                values[key] = values[key][:limit]
    return replace(
        run,
        records=tuple(records),
        values=replace(run.values, values=values),
        protocols=protocols,
    )


def _repeated(run: Run, whose: Whose, scores: Sequence[tuple[Record, int, str, Run]]) -> bool:
    """Whether smaller runs have the same values of an explainer, to rounding."""
    same = []
    for record, limit, _, other in scores:
        key = whose, record.metric
        column = run.values.values.get(key)
        compared = getattr(DECLARED.get(record.metric), "over", "") == "case"
        if column is not None and compared and per_case(record.metric):
            theirs = other.values.values.get(key, np.empty(0))
            first = column[:limit]
            same.append(
                first.shape == theirs.shape
                and np.allclose(first, theirs, rtol=1e-3, atol=1e-5, equal_nan=True)
            )
    return bool(same) and sum(same) >= SAME * len(same)


def _first(record: Record, values: Values, limit: int) -> Record:
    """The score of the first `limit` cases."""
    metric, whose = DECLARED.get(record.metric), Whose.of(record)
    column = values.get((whose, record.metric))
    if column is None or not isinstance(metric, Metric) or metric.over != "case":
        if record.status != "ok":
            return record
        reason = "is about all cases of its run, which other runs do not have"
        return replace(record, value=None, low=None, high=None, n=0, status="n/a", reason=reason)
    passed, reference = record.passed, values.get((whose, metric.reference))
    if passed is not None and reference is not None:
        passed = not_above(column[:limit], reference[:limit], metric.highest)
    first = score(column[:limit])
    status = record.status if first.value is not None else "n/a"
    return replace(record, **vars(first), passed=passed, status=status)
