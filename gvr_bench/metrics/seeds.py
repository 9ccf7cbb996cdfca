"""Means over several trainings: the seed is a random effect, as a reader is in radiology.

All seeds score the same cases. Resampling two or three seeds would make intervals far too short, so
variances are those of the analysis of many readers and many cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.metrics.statistics import ENDS, Values


@dataclass(frozen=True)
class SeedMean:
    """A mean with its standard error over seeds and cases, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    def interval(self, lowest: float = -np.inf, highest: float = np.inf) -> tuple[float, float]:
        """The 95 % interval by Student's t, within the range of the values."""
        from scipy.stats import t

        low, high = (self.value + self.error * t.ppf(end, self.freedom) for end in ENDS)
        return float(np.clip(low, lowest, highest)), float(np.clip(high, lowest, highest))

    @property
    def p_value(self) -> float:
        """Two-sided, of the mean being 0."""
        from scipy.stats import t

        if self.error == 0:
            return float(self.value == 0)
        return float(2 * t.sf(abs(self.value) / self.error, self.freedom))


def seed_mean(values: NDArray[Any]) -> SeedMean | None:
    """Average values (S, N) of S seeds and N cases.

    The error is that of a two-way analysis of variance with seeds and cases as random effects
    (Dorfman, Berbaum and Metz 1992), with the degrees of freedom of Hillis (2007). NaN is left out:
    only cases that all seeds have a value of count. None for fewer than two such cases or seeds.
    """
    block = np.asarray(values, np.float64)
    block = block[:, ~np.isnan(block).any(axis=0)]
    s, n = block.shape
    if min(s, n) < 2:
        return None
    mean, seeds, cases = block.mean(), block.mean(axis=1), block.mean(axis=0)
    rest = block - seeds[:, None] - cases + mean
    of_seeds = n * np.square(seeds - mean).sum() / (s - 1)
    of_cases = s * np.square(cases - mean).sum() / (n - 1)
    of_rest = np.square(rest).sum() / ((s - 1) * (n - 1))
    spread = of_seeds + max(of_cases - of_rest, 0.0)
    freedom = (s - 1) * (spread / of_seeds) ** 2 if of_seeds > 0 else np.inf
    return SeedMean(float(mean), float(np.sqrt(spread / block.size)), float(freedom))


def seed_p_value(pairs: Sequence[Values]) -> float:
    """Whether two explainers differ, by their differences (N,) with each of the same seeds."""
    mean = seed_mean(np.stack(pairs)) if len(pairs) > 1 else None
    return 1.0 if mean is None else mean.p_value
