from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_evidence import evidence
from sklearn.metrics import average_precision_score

from gvr_bench.metrics.truth import pixel_ap, true_change_correlation


def ap(heat: list[float], mask: list[int]) -> float:
    """Average precision of one image of 2 x 2 pixels."""
    seen = evidence(
        1,
        heat=np.array(heat, np.float32).reshape(1, 2, 2),
        mask=np.array(mask, bool).reshape(1, 2, 2),
    )
    return float(pixel_ap(seen)[0])


def correlation(heat: object, change: object) -> float:
    """Correlation of one image of 2 x 2 pixels."""
    maps = [np.asarray(m, np.float32).reshape(1, 2, 2) for m in (heat, change)]
    return float(true_change_correlation(evidence(1, heat=maps[0], true_change=maps[1]))[0])


def test_without_masks_nothing_is_claimed():
    assert pixel_ap(evidence()) is None


def test_without_true_counterfactuals_nothing_is_claimed():
    assert true_change_correlation(evidence()) is None


@pytest.mark.parametrize("mask", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_a_mask_with_nothing_to_tell_apart_leaves_the_image_out(mask):
    assert np.isnan(ap([4, 3, 2, 1], mask))


@pytest.mark.parametrize(
    ("heat", "mask", "expected"),
    [
        ([9, 8, 1, 0], [1, 1, 0, 0], 1.0),  # perfect
        ([9, 8, 7, 0], [1, 0, 1, 0], (1 + 2 / 3) / 2),  # ranks 1 and 3
        ([9, 8, 7, 6], [0, 0, 1, 1], (1 / 3 + 2 / 4) / 2),  # ranks 3 and 4
        ([9, 8, 7, 6], [0, 0, 0, 1], 1 / 4),  # last
        ([5, 5, 5, 5], [1, 0, 0, 0], 1 / 4),  # constant: the prevalence
        ([0, 0, 0, 0], [1, 1, 1, 0], 3 / 4),
        ([5, 5, 1, 0], [1, 0, 0, 0], 1 / 2),  # tied for first with one other
    ],
)
def test_average_precision_equals_the_one_worked_out(heat, mask, expected):
    assert ap(heat, mask) == pytest.approx(expected)


def test_only_the_size_of_the_heat_counts_for_average_precision():
    assert ap([-9, 8, 1, 0], [1, 0, 0, 0]) == 1.0
    assert ap([-9, 8, 1, 0], [0, 1, 0, 0]) == 0.5


def test_random_heat_has_the_masks_prevalence_on_average():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 32, 32), bool)
    mask[:, :16, :16] = True
    seen = evidence(40, 32, heat=rng.normal(size=mask.shape).astype(np.float32), mask=mask)
    assert np.mean(pixel_ap(seen)) == pytest.approx(0.25, abs=0.02)


@given(st.integers(0, 2**32 - 1))
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    heat = rng.integers(-3, 4, (3, 4, 4)).astype(np.float32)
    mask = rng.random((3, 4, 4)) < 0.4
    mask[:, 0, 0], mask[:, 3, 3] = True, False
    expected = [average_precision_score(mask[i].flat, abs(heat[i]).flat) for i in range(3)]
    assert pixel_ap(evidence(3, 4, heat=heat, mask=mask)).tolist() == expected


def test_each_image_is_scored_on_its_own():
    mask = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]], bool)
    heat = np.array([[[1, 0], [0, 0]]] * 3, np.float32)
    found = pixel_ap(evidence(3, heat=heat, mask=mask))
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(1 / 4)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_a_constant_map_has_no_correlation(level):
    assert correlation([level] * 4, [1, 2, 3, 4]) == pytest.approx(0, abs=1e-6)


def test_an_image_without_true_change_is_left_out():
    assert np.isnan(correlation([1, 2, 3, 4], [0, 0, 0, 0]))


@pytest.mark.parametrize(
    ("heat", "change", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),
        ([10, 30, 50, 70], [1, 2, 3, 4], 1.0),  # scale and offset do not matter
        ([-1, -2, -3, -4], [1, 2, 3, 4], -1.0),  # the sign does
        ([1, -1, 1, -1], [1, 1, -1, -1], 0.0),
        ([1, 0, 0, 0], [1, 1, 0, 0], 1 / 3**0.5),
    ],
)
def test_correlation_equals_the_one_worked_out(heat, change, expected):
    assert correlation(heat, change) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_correlation_is_numpys_whatever_the_scale(seed, exponent):
    rng = np.random.default_rng(seed)
    heat, change = rng.normal(size=(2, 4)).astype(np.float32)
    heat = heat * np.float32(10.0**exponent)
    expected = np.corrcoef(heat, change)[0, 1]
    assert correlation(heat, change) == pytest.approx(expected, abs=1e-6)
    assert correlation(-heat, change) == pytest.approx(-expected, abs=1e-6)


def test_random_heat_is_not_correlated_on_average():
    rng = np.random.default_rng(0)
    heat, change = rng.normal(size=(2, 40, 32, 32)).astype(np.float32)
    found = true_change_correlation(evidence(40, 32, heat=heat, true_change=change))
    assert abs(found.mean()) < 0.02
