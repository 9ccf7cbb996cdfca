"""From one value per image to a score with an interval, and to ranks by paired tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.metric import Better

Values = NDArray[np.float64]

RESAMPLES = 1000
BATCH_NUMBERS = 2**20  # random numbers drawn in one batch, to bound memory
LEVEL = 0.95
ENDS = (1 - LEVEL) / 2, (1 + LEVEL) / 2  # quantiles at which an interval begins and ends

ALPHA = 0.05
MAX_EXACT = 50  # pairs up to which the exact null distribution is used
UNCHANGED = 1e-3  # below the highest value that a score of a test must be
ROUNDING = 1e-6  # values whose relative difference is smaller count as equal


@dataclass(frozen=True)
class Score:
    """A mean over n images with its 95 % bootstrap interval; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


NO_SCORE = Score(None, None, None, 0)


def score(values: NDArray[Any]) -> Score:
    """Average one value per image, leaving out NaN, with a percentile bootstrap over images."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    n = len(known)
    if n == 0:
        return NO_SCORE
    rng, means = np.random.default_rng(0), np.empty(RESAMPLES)
    for part in resamples(n):
        draws = rng.integers(0, n, (part.stop - part.start, n))
        means[part] = known[draws].mean(axis=1)
    low, high = np.quantile(means, ENDS)
    return Score(float(known.mean()), float(low), float(high), n)


def not_above(values: NDArray[Any], reference: NDArray[Any], highest: float) -> bool | None:
    """Whether values (N,) of the same N images are not above their reference (N,).

    They are above where the 95 % interval of the mean difference is above 0, or where they are all
    but the `highest` possible, whatever the reference. None without values.
    """
    difference = score(np.asarray(values, np.float64) - np.asarray(reference, np.float64))
    if difference.low is None:
        return None
    return difference.low <= 0 and bool(np.nanmean(values) < highest - UNCHANGED)


def resamples(n: int) -> Iterator[slice]:
    """Cut the resamples of n images into batches of `BATCH_NUMBERS`, or of one resample."""
    count = max(1, BATCH_NUMBERS // n)
    for start in range(0, RESAMPLES, count):
        yield slice(start, min(start + count, RESAMPLES))


@dataclass(frozen=True)
class Ranking:
    """Ranks of explainers in one column; an explainer without values has none.

    `clear` are the explainers that do better than every control that has values; None where no
    control has any, or where the column has no better end.
    """

    ranks: Mapping[str, int]
    clear: frozenset[str] | None

    @property
    def separated(self) -> bool | None:
        """Whether any explainer beats all controls."""
        return None if self.clear is None else bool(self.clear)


def rank(
    values: Mapping[str, NDArray[Any]],
    better: Better,
    controls: Collection[str] = (),
    also: Callable[[str, str], float] | None = None,
) -> Ranking:
    """Rank explainers by their values (N,) of the same N images, NaN where one has none.

    A rank is 1 + the number of explainers that are significantly better: by two-sided Wilcoxon
    signed-rank tests over the images that both have, Holm-corrected over all pairs, at 5 %. The
    larger p value counts where `also` gives that of another test of two explainers.
    """
    names = [name for name, column in values.items() if not np.isnan(column).all()]
    if better == "-" or not names:
        return Ranking({}, None)
    pairs = list(combinations(names, 2))
    p_values, larger = signed_ranks([differences(values[a], values[b]) for a, b in pairs])
    if also is not None:
        p_values = np.maximum(p_values, [also(a, b) for a, b in pairs])
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

    wilcoxon: Any = stats.wilcoxon  # its stubs lack some methods
    p_values, positive = np.ones(len(differences)), np.zeros(len(differences), np.bool_)
    untied = [is_untied(row) for row in differences]
    # With ties the exact test takes scipy seconds a pair; the approximation errs to larger p.
    for method, exact in (("exact", True), ("asymptotic", False)):
        rows = [i for i, row in enumerate(differences) if row.any() and untied[i] == exact]
        if rows:
            stacked = np.stack([differences[i] for i in rows])
            p_values[rows] = wilcoxon(stacked, axis=1, method=method).pvalue
            above = wilcoxon(stacked, axis=1, method=method, alternative="greater").pvalue
            positive[rows] = above < 0.5
    return p_values, positive


def is_untied(row: Values) -> bool:
    """Whether there are at most `MAX_EXACT` differences, none of them 0 and none tied."""
    return len(row) <= MAX_EXACT and len(np.unique(np.abs(row[row != 0]))) == len(row)


def differences(a: NDArray[Any], b: NDArray[Any]) -> Values:
    """Differences a - b (N,): 0 where one has no value, or where they are equal to rounding."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    equal = np.isnan(left) | np.isnan(right) | np.isclose(left, right, rtol=ROUNDING, atol=0)
    difference: Values = np.subtract(left, right, out=np.zeros(len(left)), where=~equal)
    return difference


def holm(p_values: Sequence[float] | Values) -> list[float]:
    """Adjust p values for their number (Holm 1979): step down, never smaller than the last."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, (len(p_values) - place) * float(p_values[index]))
        adjusted[index] = min(1.0, largest)
    return adjusted
