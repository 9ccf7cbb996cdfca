"""Runs that differ in the number of cases alone, cut to the cases that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.config.metric_choice import declaration_of
from gvr_bench.metrics import Metric, score
from gvr_bench.metrics.statistics import not_above
from gvr_bench.report.metric_info import is_cost, per_case
from gvr_bench.report.run import Run
from gvr_bench.results.case_scores import Whose
from gvr_bench.results.records import Record

LIMIT = "max_cases"
"""The setting that adds cases behind those that a smaller limit chooses."""

SAME = 0.8
"""Share of the scores of one explainer that agree over two runs: some of them draw noise."""

Family = tuple[object, ...]
Values = Mapping[tuple[Whose, str], NDArray[Any]]


@dataclass(frozen=True)
class Shared:
    """The fewest cases of a family: how many, their protocol, and the run that has them."""

    limit: int
    protocol: str
    run: Run


def share_cases(runs: Sequence[Run]) -> list[Run]:
    """Cut the scores of runs to the first cases, which all of them have.

    Scores that compare all cases of a run with one another apply to none of these runs. An
    explainer with the same values as in the smaller run is left to that.
    """
    if len(runs) < 2:
        return list(runs)
    families = [[_family(run, record) for record in run.records] for run in runs]
    members: dict[Family, list[Shared]] = {}
    for run, known_of in zip(runs, families, strict=True):
        for record, known in zip(run.records, known_of, strict=True):
            if known:
                members.setdefault(known[0], []).append(Shared(known[1], record.protocol, run))
    nested = {
        family: min(of, key=lambda member: member.limit)
        for family, of in members.items()
        if len({member.limit for member in of}) > 1
    }
    return [_cut(run, known, nested) for run, known in zip(runs, families, strict=True)]


def _family(run: Run, record: Record) -> tuple[Family, int] | None:
    """What scores of nested cases have in common, and the limit of this one."""
    facts = run.protocols.get(record.protocol, {})
    limit = facts.get(LIMIT)
    if record.explainer is None or not isinstance(limit, int):
        return None
    same = sorted((name, str(fact)) for name, fact in facts.items() if name != LIMIT)
    return (record.metric, record.metric_version, record.output, *same), limit


def _cut(
    run: Run, families: Sequence[tuple[Family, int] | None], nested: Mapping[Family, Shared]
) -> Run:
    records, values, protocols = [], dict(run.values.values), dict(run.protocols)
    longer: dict[Whose, list[tuple[Record, Shared]]] = {}
    for record, known in zip(run.records, families, strict=True):
        if known is None or known[0] not in nested:
            records.append(record)
        elif known[1] == nested[known[0]].limit:
            records.append(record if _of_each_case(record) else _without(record))
        else:
            longer.setdefault(Whose.of(record), []).append((record, nested[known[0]]))
    for whose, scores in longer.items():
        if _repeated(run, whose, scores):
            continue
        for record, shared in scores:
            protocols[shared.protocol] = shared.run.protocols[shared.protocol]
            first = _first(record, run.values.values, shared.limit)
            records.append(replace(first, protocol=shared.protocol))
            if (key := (whose, record.metric)) in values:
                values[key] = values[key][: shared.limit]
    of_cases = replace(run.values, values=values)
    return replace(run, records=tuple(records), values=of_cases, protocols=protocols)


def _repeated(run: Run, whose: Whose, scores: Sequence[tuple[Record, Shared]]) -> bool:
    """Whether smaller runs have the same values of an explainer, to rounding."""
    same = []
    for record, shared in scores:
        key = whose, record.metric
        column = run.values.values.get(key)
        if column is not None and _of_each_case(record) and per_case(record.metric):
            theirs = shared.run.values.values.get(key, np.empty(0))
            first = column[: shared.limit]
            same.append(
                first.shape == theirs.shape
                and np.allclose(first, theirs, rtol=1e-3, atol=1e-5, equal_nan=True)
            )
    return bool(same) and sum(same) >= SAME * len(same)


def _of_each_case(record: Record) -> bool:
    """Whether the value of a case depends on that case alone, or a score on no case."""
    metric = declaration_of(record.metric)
    return is_cost(record.metric) or (isinstance(metric, Metric) and metric.over == "case")


def _without(record: Record) -> Record:
    """Without the value of a score that is about other cases in each run."""
    if record.status != "ok":
        return record
    reason = "compares all cases of a run, and the runs have more or fewer"
    return replace(record, value=None, low=None, high=None, n=0, status="n/a", reason=reason)


def _first(record: Record, values: Values, limit: int) -> Record:
    metric, whose = declaration_of(record.metric), Whose.of(record)
    column = values.get((whose, record.metric))
    if is_cost(record.metric):
        return record
    if column is None or not isinstance(metric, Metric) or not _of_each_case(record):
        return _without(record)
    passed, reference = record.passed, values.get((whose, metric.reference))
    if passed is not None and reference is not None:
        passed = not_above(column[:limit], reference[:limit], metric.highest)
    first = score(column[:limit])
    status = record.status if first.value is not None else "n/a"
    return replace(record, **vars(first), passed=passed, status=status)
