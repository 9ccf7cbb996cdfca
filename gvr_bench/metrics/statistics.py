"""Which explainers a column tells apart: ranks by paired tests over the same images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gvr_bench.metrics.base import Values

ALPHA = 0.05
EXACT = 50  # pairs up to which the null distribution is counted out
ROUNDING = 1e-6  # values that differ by less, relative to themselves, are stored alike


@dataclass(frozen=True)
class Ranking:
    """Places of explainers in one column; what has no values has no rank.

    `clear` are the explainers that do better than every control that has values; None where no
    control has any, or where the column has no better end.
    """

    ranks: Mapping[str, int]
    clear: frozenset[str] | None

    @property
    def separated(self) -> bool | None:
        """Whether any explainer is told apart from all controls."""
        return None if self.clear is None else bool(self.clear)


def rank(
    values: Mapping[str, NDArray[Any]],
    better: Literal["up", "down", "-"],
    controls: Collection[str] = (),
) -> Ranking:
    """Rank explainers by their values (N,) of the same N images, NaN where one has none.

    A rank is 1 + the number of explainers that are significantly better: by two-sided Wilcoxon
    signed-rank tests over the images that both have, Holm-corrected over all pairs, at 5 %.
    """
    names = [name for name, of in values.items() if not np.isnan(of).all()]
    if better == "-" or not names:
        return Ranking({}, None)
    pairs = list(combinations(names, 2))
    p_values, larger = signed_ranks([differences(values[a], values[b]) for a, b in pairs])
    beats = {
        (a, b) if first_is_larger == (better == "up") else (b, a)
        for (a, b), p, first_is_larger in zip(pairs, holm(p_values), larger, strict=True)
        if p < ALPHA
    }
    ranks = {name: 1 + sum((other, name) in beats for other in names) for name in names}
    rivals = [name for name in names if name in controls]
    clear = frozenset(n for n in names if all((n, control) in beats for control in rivals))
    return Ranking(ranks, clear if rivals else None)


def signed_ranks(differences: Sequence[Values]) -> tuple[Values, NDArray[np.bool_]]:
    """Wilcoxon signed-rank tests of differences (N,) each, 0 where there is no pair.

    Returns two-sided p values, 1 where no pair differs, and whether the differences tend to be
    positive; one of each per test.
    """
    from scipy import stats

    wilcoxon: Any = stats.wilcoxon  # its stubs know few of the methods
    p_values, positive = np.ones(len(differences)), np.zeros(len(differences), np.bool_)
    plain = [distinct(row) for row in differences]
    # Counting out ties takes scipy seconds a pair; the normal approximation errs to larger p.
    for method, wanted in (("exact", True), ("asymptotic", False)):
        rows = [i for i, row in enumerate(differences) if row.any() and plain[i] == wanted]
        if rows:
            stacked = np.stack([differences[i] for i in rows])
            p_values[rows] = wilcoxon(stacked, axis=1, method=method).pvalue
            above = wilcoxon(stacked, axis=1, method=method, alternative="greater").pvalue
            positive[rows] = above < 0.5
    return p_values, positive


def distinct(row: Values) -> bool:
    """Whether few enough differences, none of them 0, are all of different size."""
    return len(row) <= EXACT and len(np.unique(np.abs(row[row != 0]))) == len(row)


def differences(a: NDArray[Any], b: NDArray[Any]) -> Values:
    """Differences a - b (N,): 0 where one has no value, or where rounding alone sets them apart."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    alike = np.isnan(left) | np.isnan(right) | np.isclose(left, right, rtol=ROUNDING, atol=0)
    difference: Values = np.subtract(left, right, out=np.zeros(len(left)), where=~alike)
    return difference


def holm(p_values: Sequence[float] | Values) -> list[float]:
    """Adjust p values for their number (Holm 1979): step down, never smaller than the last."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, (len(p_values) - place) * float(p_values[index]))
        adjusted[index] = min(1.0, largest)
    return adjusted
