"""Metrics of plain arrays: worked-out values, kinds of arrays, and shapes that do not fit."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gvr_bench import metrics
from gvr_bench.core.errors import UsageError
from gvr_bench.metrics import DECLARED, functions

MASK = np.zeros((2, 4, 4), bool)
MASK[0, 0, :2] = True  # the mask of the second is empty
MAP = np.zeros((2, 4, 4), np.float32)
MAP[:, 0, 0], MAP[:, 3, 3], MAP[:, 0, 1] = 3.0, -2.0, 1.0


def test_overlap_is_worked_out() -> None:
    first = {
        "pixel_ap": (1 + 2 / 3) / 2,
        "pixel_roc_auc": (14 + 13) / 28,
        "pointing_hit": 1.0,
        "mass_accuracy": 4 / 6,
    }
    for name, expected in first.items():
        values = getattr(metrics, name)(MAP, MASK)
        assert values.dtype == np.float64
        assert values.shape == (2,)
        assert values[0] == pytest.approx(expected), name
        assert math.isnan(values[1])
    assert metrics.iou_otsu(MAP, MASK)[0] == pytest.approx(1 / 3)
    assert metrics.emd_score(MASK.astype(float), MASK)[0] == 1.0


def test_distractor_leaves_the_mask_out() -> None:
    distractor = np.zeros_like(MASK)
    distractor[:, 0, 1] = distractor[:, 3, 3] = True
    assert metrics.distractor_mass(MAP, distractor)[0] == pytest.approx(3 / 6)
    assert metrics.distractor_mass(MAP, distractor, MASK)[0] == pytest.approx(2 / 6)


def test_true_change_is_compared_with_sign() -> None:
    assert metrics.true_change_correlation(MAP, 2 * MAP) == pytest.approx([1, 1])
    assert metrics.true_change_correlation(MAP, -MAP) == pytest.approx([-1, -1])
    assert metrics.sign_accuracy(MAP, np.abs(MAP))[0] == pytest.approx(2 / 3)


def test_cases_are_compared_with_one_another() -> None:
    changes = np.random.default_rng(0).normal(size=(6, 8, 8))
    constant = np.broadcast_to(changes.mean(0), changes.shape)
    assert metrics.case_specific_correlation(changes, changes) == pytest.approx(np.ones(6))
    assert metrics.case_specific_correlation(constant, changes) == pytest.approx(np.zeros(6))
    assert metrics.case_identification(changes, changes) == pytest.approx(np.ones(6))
    assert metrics.case_identification(constant, changes).mean() == pytest.approx(0.5)


def test_spread_of_maps_is_worked_out() -> None:
    one = np.eye(16).reshape(16, 4, 4)
    assert metrics.entropy(one) == pytest.approx(np.zeros(16))
    assert metrics.entropy(np.ones((1, 4, 4))) == pytest.approx([math.log(16)])
    assert metrics.sparseness(one) == pytest.approx(np.full(16, 15 / 16))
    assert metrics.sparseness(np.ones((1, 4, 4))) == pytest.approx([0])


class FirstPixel(nn.Module):
    """The first output is ten times the pixel in the corner, the second minus that."""

    def forward(self, x: Tensor) -> Tensor:
        pixel = 10 * x[:, 0, 0, 0]
        return torch.stack([pixel, -pixel], 1)


@pytest.mark.parametrize("classes", [False, True])
def test_deletion_follows_the_network(classes: bool) -> None:
    image = torch.ones(1, 1, 5, 5)
    right, wrong = torch.zeros(2, 1, 5, 5)
    right[..., 0, 0], wrong[..., 4, 4], wrong[..., 0, 0] = 1.0, 1.0, -1.0
    how = {"classes": classes}
    first = metrics.deletion_auc(FirstPixel(), image, right, **how)
    last = metrics.deletion_auc(FirstPixel(), image, wrong, **how)
    assert first == pytest.approx([0.5 / 25], abs=1e-3)  # gone after one pixel of 25
    assert last == pytest.approx([1 - 0.5 / 25], abs=1e-3)
    assert metrics.insertion_auc(FirstPixel(), image, right, **how) == pytest.approx(
        [1 - 0.5 / 25], abs=1e-3
    )
    gain = metrics.symmetric_relevance_gain(FirstPixel(), image, right, **how)
    assert gain == pytest.approx([0.48], abs=1e-3)
    assert metrics.deletion_auc(FirstPixel(), image, right, output=1) < 1  # rises as it is deleted


def test_exact_map_predicts_all_noise() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1e-3 * x.sum((1, 2, 3))[:, None]  # where a sigmoid is a line

    image = torch.zeros(2, 1, 16, 16)
    assert metrics.infidelity(Sum(), image, torch.ones(2, 16, 16)) == pytest.approx(
        [0, 0], abs=1e-3
    )


def test_tensors_lists_and_arrays_agree() -> None:
    expected = metrics.pixel_ap(MAP, MASK)
    for kind in (torch.tensor, np.asfortranarray, lambda values: values.tolist()):
        np.testing.assert_array_equal(metrics.pixel_ap(kind(MAP), kind(MASK)), expected)
    graded = torch.tensor(MAP, requires_grad=True)
    np.testing.assert_array_equal(metrics.pixel_ap(graded, MASK), expected)


def test_other_shapes_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"attribution has shape \(4, 4\); give \(N, H, W\)"):
        metrics.sparseness(MAP[0])
    with pytest.raises(UsageError, match=r"mask has shape \(1, 4, 4\), attribution \(2, 4, 4\)"):
        metrics.pixel_ap(MAP, MASK[:1])
    with pytest.raises(UsageError, match=r"image has shape \(2, 1, 3, 4\)"):
        metrics.deletion_auc(FirstPixel(), np.zeros((2, 1, 3, 4)), MAP)


def test_functions_are_metrics_of_the_board() -> None:
    own = [value for value in vars(functions).values() if inspect.isfunction(value)]
    public = {
        function.__name__
        for function in own
        if function.__module__ == functions.__name__ and not function.__name__.startswith("_")
    }
    assert public - {"entropy"} <= DECLARED.keys()
    assert public <= set(metrics.__all__)
