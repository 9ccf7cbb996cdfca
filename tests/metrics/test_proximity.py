from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_inputs import proximity_input
from skimage.metrics import structural_similarity

from gvr_bench.metrics.proximity import (
    GROUP,
    changed_area,
    latent_l2,
    latent_norm_ratio,
    rationale_l1,
    rationale_l2,
    rationale_linf,
    rationale_ssim,
)

IMAGES = (rationale_l1, rationale_l2, rationale_linf, rationale_ssim, changed_area)


def scores(change: list[float]) -> dict[str, float]:
    """Score a change of one black image of 2 x 2 pixels."""
    made = np.array(change, np.float32).reshape(1, 1, 2, 2)
    seen = proximity_input(1, counterfactual=made)
    return {metric.name: float(metric(seen)[0]) for metric in IMAGES}


@pytest.mark.parametrize("metric", GROUP.metrics)
def test_proximity_needs_a_counterfactual(metric):
    assert metric(proximity_input()) is None


def test_no_scale_is_no_relative_length():
    seen = proximity_input(1, start=np.array([[0.0, 0.0]]), latent=np.array([[3.0, 4.0]]), norm=0.0)
    assert latent_l2(seen).tolist() == [5.0]
    assert latent_norm_ratio(seen) is None


def test_pixel_counterfactuals_have_no_latent_distance():
    seen = proximity_input(
        1, start=np.array([[0.0, 0.0]]), counterfactual=np.zeros((1, 1, 2, 2)), norm=1
    )
    assert latent_l2(seen) is None
    assert latent_norm_ratio(seen) is None


def test_changing_nothing_is_the_least_change():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 1, 8, 8)).astype(np.float32)
    seen = proximity_input(1, 8, base=image, counterfactual=image)
    assert [float(metric(seen)[0]) for metric in IMAGES] == pytest.approx([0, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("change", "l1", "l2", "linf", "area"),
    [
        ([0.4, 0.0, 0.0, 0.0], 0.1, 0.2, 0.4, 1 / 4),
        ([0.3, -0.3, 0.3, -0.3], 0.3, 0.3, 0.3, 1.0),  # directions do not cancel
        ([0.09, -0.09, 0.11, 0.0], 0.29 / 4, (0.0283 / 4) ** 0.5, 0.11, 1 / 4),
        ([0.2, -0.4, 0.0, 0.0], 0.15, 0.05**0.5, 0.4, 1 / 2),
        ([1.0, 1.0, 0.0, 0.0], 0.5, 0.5**0.5, 1.0, 1 / 2),
    ],
)
def test_changes_equal_those_worked_out(change, l1, l2, linf, area):
    found = scores(change)
    assert found["rationale_l1"] == pytest.approx(l1)
    assert found["rationale_l2"] == pytest.approx(l2)
    assert found["rationale_linf"] == pytest.approx(linf)
    assert found["changed_area"] == pytest.approx(area)


def test_white_for_black_changes_most():
    seen = proximity_input(1, base=-np.ones((1, 1, 2, 2)), counterfactual=np.ones((1, 1, 2, 2)))
    found = [metric(seen).item() for metric in (rationale_l1, rationale_l2, rationale_linf)]
    assert found == [2.0, 2.0, 2.0]


def test_one_changed_colour_is_enough():
    made = np.zeros((1, 3, 2, 2), np.float32)
    made[0, 1, 0, 0] = made[0, 2, 0, 0] = made[0, 2, 1, 1] = 0.5
    seen = proximity_input(1, counterfactual=made, base=np.zeros_like(made))
    assert changed_area(seen).tolist() == [2 / 4]


def test_small_images_have_no_ssim():
    assert np.isnan(scores([1, 0, 0, 0])["rationale_ssim"])


@given(st.integers(0, 2**32 - 1))
def test_structural_similarity_is_scikit_images(seed):
    rng = np.random.default_rng(seed)
    made, was = rng.uniform(-1, 1, (2, 2, 3, 9, 9)).astype(np.float32)
    found = rationale_ssim(proximity_input(2, 9, counterfactual=made, base=was))
    expected = [
        structural_similarity(made[i] + 1, was[i] + 1, data_range=2, channel_axis=0)
        for i in range(2)
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_latent_distances_by_hand():
    seen = proximity_input(
        start=np.array([[1.0, 1.0], [0.0, 3.0]]),
        latent=np.array([[4.0, 5.0], [0.0, 3.0]]),
        norm=6.0,
    )
    assert latent_l2(seen).tolist() == [5.0, 0.0]
    assert latent_norm_ratio(seen).tolist() == pytest.approx([41**0.5 / 6, 0.5])
