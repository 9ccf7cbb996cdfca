from __future__ import annotations

import pytest
import torch

from gvr_bench.metrics.realism import RealismInput, im1


def ratio(target: float, source: float) -> float:
    return float(im1(RealismInput(torch.tensor([target]), torch.tensor([source])))[0])


def test_im1_needs_a_counterfactual():
    assert im1(RealismInput(None, None)) is None


def test_perfect_reconstructions_divide_by_epsilon():
    assert ratio(0.0, 0.0) == 0.0
    assert ratio(1.0, 0.0) == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [(3.0, 6.0, 0.5), (6.0, 3.0, 2.0), (5.0, 5.0, 1.0), (0.0, 4.0, 0.0)],
)
def test_the_ratio_by_hand(target, source, expected):
    assert ratio(target, source) == pytest.approx(expected, rel=1e-5)
