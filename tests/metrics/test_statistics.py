from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from gvr_bench.metrics.statistics import Ranking, differences, holm, not_above, rank, signed_ranks

Array = NDArray[np.float64]
N = 40


@pytest.fixture
def noise() -> Array:
    return np.random.default_rng(0).normal(0, 1, N)


def p_and_larger(a: Array, b: Array) -> tuple[float, bool]:
    """p of the test of a against b, and whether a tends to be larger."""
    (p,), (larger,) = signed_ranks([differences(a, b)])
    return float(p), bool(larger)


def shifted(noise: Array, by: float) -> Array:
    """Larger than `noise` in each image, by differing amounts."""
    return noise + by * np.linspace(0.5, 1.5, len(noise))


def test_equal_columns_share_first_rank(noise: Array) -> None:
    found = rank({"a": noise, "b": noise.copy(), "c": noise.copy()}, "up", {"c"})
    assert found == Ranking({"a": 1, "b": 1, "c": 1}, frozenset())
    assert found.separated is False


def test_no_values_are_no_rank(noise: Array) -> None:
    none = np.full(N, np.nan)
    found = rank({"a": shifted(noise, 1), "b": noise, "c": none}, "up")
    assert found.ranks == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("better", "ranks"),
    [("up", {"a": 1, "b": 1, "c": 3}), ("down", {"a": 2, "b": 2, "c": 1}), ("-", {})],
)
def test_ties_share_a_rank(noise: Array, better: str, ranks: dict[str, int]) -> None:
    level = shifted(noise, 2)
    wobble = np.random.default_rng(1).permutation(
        np.r_[np.full(N // 2, 0.1), np.full(N // 2, -0.1)]
    )
    found = rank({"a": level, "b": level + wobble, "c": noise}, better)  # type: ignore[arg-type]
    assert found.ranks == ranks


def test_many_tests_need_larger_differences() -> None:
    """p = 0.03125 for 6 of 6 images; among 3 pairs it would have to be below 0.0167."""
    low = np.arange(6.0)
    high = low + 1 + np.arange(6) / 10
    assert rank({"a": high, "b": low}, "up").ranks == {"a": 1, "b": 2}
    assert rank({"a": high, "b": low, "c": low}, "up").ranks == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 x 0.01; 2 x 0.03; 0.04, not below 0.06
        ([0.5, 0.6, 0.001, 0.012], [1.0, 1.0, 0.004, 0.036]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


@pytest.mark.parametrize("n", [6, 30, 90])
def test_p_values_are_those_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.4, 1, n), rng.normal(0, 1, n)
    p = wilcoxon(a, b).pvalue
    assert p_and_larger(a, b) == (pytest.approx(p), True)
    assert p_and_larger(b, a) == (pytest.approx(p), False)


def test_pairs_are_tested_independently() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(0.2, 1, 30), np.zeros(30), rng.integers(-1, 2, 30) * 1.0]
    together = signed_ranks(rows)
    alone = [signed_ranks([row]) for row in rows]
    assert together[0].tolist() == [p[0] for p, _ in alone]
    assert together[1].tolist() == [larger[0] for _, larger in alone]
    assert together[0][1] == 1


def test_flips_are_compared_by_image() -> None:
    always, half = np.ones(60), np.tile([0.0, 1.0], 30)
    p = wilcoxon(always, half, method="asymptotic").pvalue
    assert p < 1e-6
    assert p_and_larger(always, half) == (pytest.approx(p), True)


def test_missing_images_affect_their_pair_only(noise: Array) -> None:
    holes = shifted(noise, -3)
    holes[:30] = np.nan
    assert np.count_nonzero(differences(noise, holes)) == 10
    found = rank({"a": shifted(noise, 1), "b": noise, "c": holes}, "up")
    assert found.ranks == {"a": 1, "b": 2, "c": 3}


def test_no_common_image_is_a_tie() -> None:
    left, right = np.arange(20.0), np.arange(20.0) + 50
    left[10:] = right[:10] = np.nan
    assert p_and_larger(left, right) == (1.0, False)


def test_rounding_differences_are_ties(noise: Array) -> None:
    rounded = noise.astype(np.float32).astype(np.float64)
    assert not differences(noise, rounded).any()
    assert differences(noise, noise * (1 + 1e-4)).all()


def test_infinite_values_are_largest() -> None:
    endless = np.full(10, np.inf)
    assert p_and_larger(endless, endless) == (1.0, False)
    assert p_and_larger(endless, np.arange(10.0))[1]


def test_separated_means_all_controls_are_beaten(
    noise: Array,
) -> None:
    column = {"gvr": shifted(noise, 1), "edge": noise, "random": shifted(noise, -1)}
    assert rank(column, "up", {"edge", "random"}).clear == {"gvr"}
    column["edge"] = shifted(noise, 1)
    assert rank(column, "up", {"edge", "random"}).separated is False


def test_no_control_is_no_separation(noise: Array) -> None:
    column = {"gvr": shifted(noise, 1), "edge": np.full(N, np.nan)}
    assert rank(column, "up", {"edge"}).separated is None
    assert rank({"gvr": noise, "edge": noise}, "-", {"edge"}).separated is None


def test_many_ties_take_no_longer() -> None:
    rng = np.random.default_rng(0)
    column = {f"e{i}": rng.integers(0, 2, 8).astype(float) for i in range(12)}
    began = time.process_time()  # another process may take the processor meanwhile
    rank(column, "up")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("by", "expected"), [(-0.5, True), (0.0, True), (0.05, True), (0.5, False)]
)
def test_values_above_their_reference_fail(noise: Array, by: float, expected: bool) -> None:
    rng = np.random.default_rng(1)
    reference = 0.02 * noise
    values = reference + by + 0.3 * rng.permutation(np.linspace(-1, 1, N))
    assert not_above(values, reference, 1.0) is expected


def test_unchanged_values_never_pass() -> None:
    """A map that is the same for all images is as alike before and after as any two are."""
    assert not_above(np.ones(N), np.ones(N), 1.0) is False
    assert not_above(np.full(N, 0.99), np.ones(N), 1.0) is True


def test_tests_need_values_of_both(noise: Array) -> None:
    none = np.full(N, np.nan)
    assert not_above(noise, none, 9.0) is None
    some = np.where(np.arange(N) < 3, noise, np.nan)
    assert not_above(some, noise, 9.0) is True
