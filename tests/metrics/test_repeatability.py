from __future__ import annotations

import pytest
import torch

from gvr_bench.metrics.repeatability import RepeatabilityInput, repeatability

SIZE = 16


def noise(seed: int) -> torch.Tensor:
    return torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def repeated(attribution: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return repeatability(RepeatabilityInput(attribution, other))


def test_equal_maps_are_repeatable():
    assert repeated(noise(0), 7 * noise(0)).tolist() == pytest.approx([1, 1, 1])
    assert (repeated(noise(0), -noise(0)) < 0).all()
    assert (repeated(noise(0), noise(1)).abs() < 0.3).all()


def test_less_noise_is_more_repeatable():
    little, much = (repeated(noise(0), noise(0) + s * noise(1)).mean() for s in (0.2, 1.0))
    assert 1 > little > much > 0
