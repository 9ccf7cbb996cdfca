from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_inputs import blank, ground_truth, input_of
from scipy.stats import mannwhitneyu
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score

from gvr_bench.metrics import Metric
from gvr_bench.metrics.ground_truth import (
    GROUP,
    distractor_mass,
    emd_score,
    iou_otsu,
    mass_accuracy,
    pixel_ap,
    pixel_roc_auc,
    pointing_hit,
    sign_accuracy,
    true_change_amplitude,
    true_change_correlation,
    true_change_mae,
    true_change_total,
)

OF_MASKS = (
    pixel_ap,
    pixel_roc_auc,
    pointing_hit,
    iou_otsu,
    mass_accuracy,
    emd_score,
)


def of(metric: Metric, attribution: Any, **known: Any) -> float:
    """Score a map of one image of 2 x 2 pixels."""
    maps = {
        name: np.array(value, bool if name in {"mask", "distractor"} else np.float32)
        for name, value in {"attribution": attribution, **known}.items()
    }
    seen = ground_truth(1, **{name: array.reshape(1, 2, 2) for name, array in maps.items()})
    return float(metric(seen)[0])


def ap(attribution: list[float], mask: list[int]) -> float:
    return of(pixel_ap, attribution, mask=mask)


def correlation(attribution: Any, change: Any) -> float:
    return of(true_change_correlation, attribution, true_change=change)


@pytest.mark.parametrize("metric", GROUP.metrics)
def test_without_the_truth_nothing_is_claimed(metric):
    seen = {"counterfactual": np.zeros((2, 1, 2, 2))} if metric.over == "case" else {}
    assert metric(blank(input_of(metric), **seen)) is None


@pytest.mark.parametrize("metric", OF_MASKS)
@pytest.mark.parametrize("mask", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_empty_and_full_masks_are_nan(metric, mask):
    for attribution in ([4, 3, 2, 1], [5, 5, 5, 5], [0, 0, 0, 0]):
        assert np.isnan(of(metric, attribution, mask=mask))


@pytest.mark.parametrize("metric", OF_MASKS)
@pytest.mark.parametrize("scale", [1, -1, 1e-20, 1e20])
def test_perfect_maps_score_one_at_any_scale(metric, scale):
    assert of(metric, [scale, 0, scale, 0], mask=[1, 0, 1, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", OF_MASKS)
@pytest.mark.parametrize("corner", [16, 9])
def test_a_constant_map_scores_chance(metric, corner):
    n = 30 if metric is emd_score else 300
    rng = np.random.default_rng(0)
    mask = np.zeros((n, 32, 32), bool)
    mask[:, :corner, :corner] = True
    noise = rng.random(mask.shape).astype(np.float32)
    by_chance = float(metric(ground_truth(n, 32, attribution=noise, mask=mask)).mean())
    for level in (0.0, 0.1, -1e6):
        constant = np.full((1, 32, 32), level, np.float32)
        found = float(metric(ground_truth(1, 32, attribution=constant, mask=mask[:1]))[0])
        assert found == pytest.approx(by_chance, abs=0.05 if metric is pointing_hit else 0.01)


@pytest.mark.parametrize(
    ("attribution", "mask", "expected"),
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
def test_average_precision_by_hand(attribution, mask, expected):
    assert ap(attribution, mask) == pytest.approx(expected)


def test_average_precision_ignores_the_sign():
    assert ap([-9, 8, 1, 0], [1, 0, 0, 0]) == 1.0
    assert ap([-9, 8, 1, 0], [0, 1, 0, 0]) == 0.5


def test_random_maps_score_the_prevalence():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 32, 32), bool)
    mask[:, :16, :16] = True
    seen = ground_truth(
        40, 32, attribution=rng.normal(size=mask.shape).astype(np.float32), mask=mask
    )
    assert pixel_ap(seen).mean() == pytest.approx(0.25, abs=0.02)


@settings(max_examples=25)  # of three maps each
@given(st.integers(0, 2**32 - 1))
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    attribution = rng.integers(-3, 4, (3, 4, 4)).astype(np.float32)
    mask = rng.random((3, 4, 4)) < 0.4
    mask[:, 0, 0], mask[:, 3, 3] = True, False
    expected = [average_precision_score(mask[i].flat, abs(attribution[i]).flat) for i in range(3)]
    found = pixel_ap(ground_truth(3, 4, attribution=attribution, mask=mask))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("attribution", "mask", "expected"),
    [
        ([9, -8, 1, 0], [1, 1, 0, 0], 1.0),
        ([9, 8, 7, 6], [0, 0, 0, 1], 0.0),
        ([9, 8, 7, 6], [0, 1, 0, 1], 1 / 4),
        ([5, 5, 5, 5], [1, 0, 0, 0], 1 / 2),
    ],
)
def test_the_area_under_the_curve_by_hand(attribution, mask, expected):
    assert of(pixel_roc_auc, attribution, mask=mask) == pytest.approx(expected)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_area_counts_pairs_of_pixels(seed):
    rng = np.random.default_rng(seed)
    attribution = rng.integers(-3, 4, (3, 4, 4)).astype(np.float32)
    mask = rng.random((3, 4, 4)) < 0.4
    mask[:, 0, 0], mask[:, 3, 3] = True, False
    sizes = abs(attribution)
    expected = [
        mannwhitneyu(sizes[i][mask[i]], sizes[i][~mask[i]]).statistic
        / (mask[i].sum() * (~mask[i]).sum())
        for i in range(3)
    ]
    found = pixel_roc_auc(ground_truth(3, 4, attribution=attribution, mask=mask))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_average_precision_is_per_image():
    mask = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]], bool)
    attribution = np.array([[[1, 0], [0, 0]]] * 3, np.float32)
    found = pixel_ap(ground_truth(3, attribution=attribution, mask=mask))
    assert found[0] == 1.0
    assert found[1].isnan()
    assert found[2] == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("attribution", "mask", "pointing", "mass"),
    [
        ([9, 8, 1, 0], [1, 1, 0, 0], 1, 17 / 18),
        ([-9, 8, 1, 0], [1, 0, 0, 0], 1, 9 / 18),  # the sign is not seen
        ([-9, 8, 1, 0], [0, 1, 0, 0], 0, 8 / 18),
        ([9, 8, 7, 0], [1, 0, 1, 0], 1, 16 / 24),
        ([9, 8, 7, 6], [0, 0, 1, 1], 0, 13 / 30),
        ([5, 5, 0, 0], [1, 0, 0, 0], 1 / 2, 1 / 2),  # tied with one other
        ([5, 5, 5, 0], [1, 1, 0, 0], 2 / 3, 2 / 3),
        ([9, 5, 5, 0], [1, 1, 0, 0], 1, 14 / 19),
        ([5, 5, 5, 5], [1, 0, 0, 0], 1 / 4, 1 / 4),
        ([0, 0, 0, 0], [1, 1, 0, 0], 1 / 2, 1 / 2),
    ],
)
def test_shares_by_hand(attribution, mask, pointing, mass):
    assert of(pointing_hit, attribution, mask=mask) == pytest.approx(pointing)
    assert of(mass_accuracy, attribution, mask=mask) == pytest.approx(mass)


@pytest.mark.parametrize(
    ("attribution", "mask", "expected"),
    [
        ([10, 9, 2, 0], [1, 1, 0, 0], 1.0),
        ([10, -9, 2, 0], [1, 0, 0, 0], 1 / 2),  # two are set apart
        ([10, 9, 2, 0], [0, 0, 1, 1], 0.0),
        ([10, 9, 8, 0], [1, 0, 0, 1], 1 / 4),
        ([1e4 + 1, 1e4 + 1, 1e4, 1e4], [1, 1, 0, 0], 1.0),
        ([5, 5, 5, 5], [1, 0, 0, 0], 1 / 4),  # half are drawn: one half, half of the time
        ([0, 0, 0, 0], [1, 1, 0, 0], (4 / 3 + 1) / 6),
    ],
)
def test_otsu_overlap_by_hand(attribution, mask, expected):
    assert of(iou_otsu, attribution, mask=mask) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1))
def test_the_threshold_is_scikit_images(seed):
    rng = np.random.default_rng(seed)
    attribution = rng.normal(0, 3, (3, 8, 8)).astype(np.float32)
    mask = rng.random((3, 8, 8)) < 0.4
    mask[:, 0, 0], mask[:, 7, 7] = True, False
    hot = [size > threshold_otsu(size) for size in np.abs(attribution.astype(np.float64))]
    expected = [(h & m).sum() / (h | m).sum() for h, m in zip(hot, mask, strict=True)]
    assert iou_otsu(
        ground_truth(3, 8, attribution=attribution, mask=mask)
    ).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("attribution", "mask", "expected"),
    [
        ([7, 0, 0, 0], [0, 0, 0, 1], 0.0),  # across the whole image
        ([-7, 0, 0, 0], [0, 1, 0, 0], 1 - 0.5**0.5),
        ([7, 0, 0, 7], [0, 0, 0, 1], 0.5),  # half of it
        ([1, 1, 0, 0], [0, 0, 1, 1], 1 - 0.5**0.5),
        ([0, 0, 0, 0], [1, 1, 0, 0], 1 - 0.5 * 0.5**0.5),  # half of it one pixel down
    ],
)
def test_the_earth_movers_score_by_hand(attribution, mask, expected):
    assert of(emd_score, attribution, mask=mask) == pytest.approx(expected)


def test_nearer_attribution_scores_higher():
    mask = np.zeros((16, 16), bool)
    mask[2:5, 2:5] = True
    heats = np.zeros((13, 16, 16), np.float32)
    heats[range(13), 3, range(3, 16)] = 1
    found = emd_score(ground_truth(13, 16, attribution=heats, mask=np.stack([mask] * 13)))
    assert found.tolist() == sorted(found.tolist(), reverse=True)
    assert found[0] > 0.9


@pytest.mark.parametrize(
    ("attribution", "known", "expected"),
    [
        ([1, -1, 2, 0], {"distractor": [1, 1, 0, 0]}, 1 / 2),
        ([1, -1, 2, 0], {"distractor": [1, 1, 0, 0], "mask": [1, 0, 0, 0]}, 1 / 4),
        ([5, 0, 0, 0], {"distractor": [1, 1, 0, 0], "mask": [1, 0, 0, 0]}, 0.0),
        ([0, 5, 0, 0], {"distractor": [1, 1, 0, 0], "mask": [0, 0, 0, 0]}, 1.0),
        ([3, 3, 3, 3], {"distractor": [1, 1, 0, 0]}, 1 / 2),
        ([0, 0, 0, 0], {"distractor": [1, 0, 0, 0]}, 1 / 4),
    ],
)
def test_distractor_mass_by_hand(attribution, known, expected):
    assert of(distractor_mass, attribution, **known) == pytest.approx(expected)


@pytest.mark.parametrize("mask", [[0, 0, 0, 0], [1, 1, 0, 0]])
def test_images_without_distractors_are_nan(mask):
    distractor = [0, 0, 0, 0] if not any(mask) else [1, 0, 0, 0]
    assert np.isnan(of(distractor_mass, [1, 2, 3, 4], distractor=distractor, mask=mask))


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_a_constant_map_has_no_correlation(level):
    assert correlation([level] * 4, [1, 2, 3, 4]) == pytest.approx(0, abs=1e-6)


def test_images_without_change_are_nan():
    assert np.isnan(correlation([1, 2, 3, 4], [0, 0, 0, 0]))


@pytest.mark.parametrize(
    ("attribution", "change", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),
        ([10, 30, 50, 70], [1, 2, 3, 4], 1.0),  # scale and offset do not matter
        ([-1, -2, -3, -4], [1, 2, 3, 4], -1.0),  # the sign does
        ([1, -1, 1, -1], [1, 1, -1, -1], 0.0),
        ([1, 0, 0, 0], [1, 1, 0, 0], 1 / 3**0.5),
    ],
)
def test_correlation_equals_the_one_worked_out(attribution, change, expected):
    assert correlation(attribution, change) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_correlation_is_numpys_whatever_the_scale(seed, exponent):
    rng = np.random.default_rng(seed)
    attribution, change = rng.normal(size=(2, 4)).astype(np.float32)
    attribution = attribution * np.float32(10.0**exponent)
    expected = np.corrcoef(attribution, change)[0, 1]
    assert correlation(attribution, change) == pytest.approx(expected, abs=1e-6)
    assert correlation(-attribution, change) == pytest.approx(-expected, abs=1e-6)


def test_random_maps_are_not_correlated():
    rng = np.random.default_rng(0)
    attribution, change = rng.normal(size=(2, 40, 32, 32)).astype(np.float32)
    found = true_change_correlation(
        ground_truth(40, 32, attribution=attribution, true_change=change)
    )
    assert abs(found.mean()) < 0.02


@pytest.mark.parametrize(
    ("attribution", "change", "expected"),
    [
        ([1, -1, 1, -1], [0.5, -0.5, 0, 0], 1.0),
        ([-1, 1, 1, -1], [0.5, -0.5, 0, 0], 0.0),
        ([1, 1, -1, -1], [0.5, -0.5, 0.05, 0], 1 / 2),  # the third is hardly changed
        ([1, 1, -1, -1], [0.5, -0.5, 0.2, 0], 1 / 3),
        ([1, 0, -1, 5], [0.5, -0.5, 0.05, 0], 3 / 4),  # no attribution is half right
        ([1, -1, -1, -1], [0.08, -0.05, 0.03, 0], 1.0),  # a faint finding: from half its largest
        ([0, 0, 0, 0], [0.5, 0.5, 0.5, 0], 1 / 2),
        ([7, 7, 7, 7], [0.5, 0.5, 0.5, 0], 1 / 2),  # constant: no sign to tell
    ],
)
def test_sign_accuracy_by_hand(attribution, change, expected):
    assert of(sign_accuracy, attribution, true_change=change) == pytest.approx(expected)


def test_random_maps_have_half_the_signs():
    rng = np.random.default_rng(0)
    attribution, change = rng.normal(size=(2, 40, 32, 32)).astype(np.float32)
    found = sign_accuracy(ground_truth(40, 32, attribution=attribution, true_change=change))
    assert found.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("metric", [sign_accuracy, true_change_amplitude, true_change_total])
def test_no_true_change_is_nan(metric):
    seen = ground_truth(1, true_change=np.zeros((1, 2, 2)), counterfactual=np.ones((1, 1, 2, 2)))
    assert metric(seen).isnan().all()


@pytest.mark.parametrize("metric", [true_change_mae, true_change_amplitude, true_change_total])
def test_a_map_alone_has_no_amplitude(metric):
    seen = ground_truth(true_change=np.ones((2, 2, 2)), decoded_truth=np.ones((2, 1, 2, 2)))
    assert metric(seen) is None


def test_true_change_mae_by_hand():
    true = np.array([[[[0.5, 0.0], [0.0, -0.5]]]] * 2, np.float32)
    seen = ground_truth(counterfactual=np.stack([true[0], true[0] * -1]), decoded_truth=true)
    assert true_change_mae(seen).tolist() == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(true_change_amplitude, [1.0, 0.5, 0.0, -1.0]), (true_change_total, [1.0, 0.5, 0.0, 1.0])],
)
def test_the_size_of_change_by_hand(metric, expected):
    change = np.array([[[0.4, -0.2], [0.0, 0.0]]], np.float32)
    x = np.array([[[[0.9, 0.1], [-0.5, 0.2]]]], np.float32)
    images = [x - share * change[:, None] for share in (1.0, 0.5, 0.0, -1.0)]
    values = [
        float(metric(ground_truth(1, base=x, counterfactual=image, true_change=change)))
        for image in images
    ]
    assert values == pytest.approx(expected, abs=1e-6)


def test_change_elsewhere_has_no_amplitude():
    change = np.array([[[0.4, 0.0], [0.0, 0.0]]], np.float32)
    base = np.zeros((1, 1, 2, 2), np.float32)
    elsewhere = -np.array([[[[0.4, 0.3], [0.0, 0.5]]]], np.float32)
    seen = ground_truth(1, base=base, counterfactual=elsewhere, true_change=change)
    assert float(true_change_amplitude(seen)) == pytest.approx(1.0)
    assert float(true_change_total(seen)) == pytest.approx(3.0)


def test_the_size_of_change_averages_colours():
    made = np.zeros((1, 3, 2, 2), np.float32)
    made[0, :, 0, 0] = [-0.3, -0.6, 0.0]
    change = np.array([[[0.3, 0.0], [0.0, 0.0]]], np.float32)
    seen = ground_truth(1, base=np.zeros_like(made), counterfactual=made, true_change=change)
    assert float(true_change_amplitude(seen)) == pytest.approx(1.0)
