from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from gvr_bench.metrics.seeds import SeedMean, seed_mean, seed_p_value


def drawn(rng: np.random.Generator, seeds: int, spread: float, cases: int = 60) -> np.ndarray:
    """Values (S, N) with a mean of 0 whose seeds and cases vary."""
    of_seeds = rng.normal(0, spread, (seeds, 1))
    return of_seeds + rng.normal(0, 0.3, (1, cases)) + rng.normal(0, 0.3, (seeds, cases))


def test_equal_seeds_are_one_sample() -> None:
    """Without any chance in the seeds the error is that of the mean over cases."""
    cases = np.random.default_rng(0).normal(0.1, 1, 50)
    mean = seed_mean(np.stack([cases] * 3))
    assert mean is not None
    assert mean.value == pytest.approx(cases.mean())
    assert mean.error == pytest.approx(cases.std(ddof=1) / 50**0.5)
    assert mean.freedom > 1000


def test_equal_cases_are_means_of_seeds() -> None:
    """Without any chance in the cases it is Student's test over the seeds."""
    seeds = np.array([0.2, 0.5, 0.4])
    values = np.repeat(seeds[:, None], 40, axis=1)
    mean = seed_mean(values)
    assert mean is not None
    expected = ttest_1samp(seeds, 0)
    assert mean.p_value == pytest.approx(expected.pvalue)
    assert mean.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
def test_intervals_cover_other_seeds(seeds: int, spread: float) -> None:
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(300):
        mean = seed_mean(drawn(rng, seeds, spread))
        assert mean is not None
        low, high = mean.interval()
        hits += low <= 0 <= high
    assert hits / 300 > 0.85  # resampled seeds and cases get to 0.64 here


@pytest.mark.parametrize("values", [np.zeros((1, 9)), np.zeros((3, 1)), np.full((3, 9), np.nan)])
def test_one_seed_or_case_says_nothing(values: np.ndarray) -> None:
    assert seed_mean(values) is None


def test_cases_of_all_seeds_count() -> None:
    values = drawn(np.random.default_rng(0), 3, 0.1)
    holes = values.copy()
    holes[0, :20] = np.nan
    assert seed_mean(holes) == seed_mean(values[:, 20:])


def test_intervals_stay_in_range() -> None:
    assert SeedMean(0.95, 0.1, 5).interval(0, 1)[1] == 1
    assert SeedMean(0.5, 0.0, 5).interval(0, 1) == (0.5, 0.5)


def test_seeds_that_disagree_do_not_differ() -> None:
    cases = np.random.default_rng(0).normal(0, 0.01, 30)
    assert seed_p_value([cases + 0.5, cases + 0.52, cases + 0.51]) < 0.001
    assert seed_p_value([cases + 0.9, cases - 0.5, cases + 0.8]) > 0.3
    assert seed_p_value([cases * 0, cases * 0]) == 1
    assert seed_p_value([cases + 0.5]) == 1
