"""Ranks within a column, from the values of single cases."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.metrics.statistics import Ranking, rank
from gvr_bench.report.metric_info import is_control, per_case
from gvr_bench.report.scores.grouping import Entry
from gvr_bench.results.records import Better


def ranking(rows: Mapping[str, Sequence[Entry]], metric: str, better: Better) -> Ranking:
    """Rank the rows of a column by the values of its cases, means over seeds where several."""
    if not per_case(metric):
        return Ranking({}, None)
    known = {name: found for name, entries in rows.items() if (found := _mean(entries)) is not None}
    cases = {len(values) for values in known.values()}
    if len(known) < 2 or len(cases) != 1:
        return Ranking({}, None)
    return rank(known, better, [name for name in known if is_control(name)])


def _mean(entries: Sequence[Entry]) -> NDArray[Any] | None:
    """One value per case (N,); None where any seed that has a score lacks them."""
    scored = [entry for entry in entries if entry.record.status == "ok"]
    values = [entry.values for entry in scored if entry.values is not None]
    if not values or len(values) < len(scored) or len({len(v) for v in values}) > 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a case that no seed has a value for
        return np.asarray(np.nanmean(np.stack(values).astype(np.float64), axis=0))
