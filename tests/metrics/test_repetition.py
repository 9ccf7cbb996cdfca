from __future__ import annotations

import pytest
import torch
from made_up_evidence import evidence

from gvr_bench.metrics.stability import (
    CONTAMINATION,
    REPEATABILITY,
    contamination_gap,
    repeatability,
)

SIZE = 16


def noise(seed: int) -> torch.Tensor:
    return torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def repeated(attribution: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return repeatability(evidence(3, SIZE, attribution=attribution, again={"other_seed": other}))


def test_what_was_not_repeated_is_not_claimed():
    assert all(metric(evidence()) is None for metric in (*REPEATABILITY, *CONTAMINATION))
    assert contamination_gap(evidence(clean=torch.ones(2))) is None


def test_the_same_map_again_is_repeatable_and_its_negative_is_not():
    assert repeated(noise(0), 7 * noise(0)).tolist() == pytest.approx([1, 1, 1])
    assert (repeated(noise(0), -noise(0)) < 0).all()
    assert (repeated(noise(0), noise(1)).abs() < 0.3).all()


def test_the_less_noise_another_seed_adds_the_better():
    little, much = (repeated(noise(0), noise(0) + s * noise(1)).mean() for s in (0.2, 1.0))
    assert 1 > little > much > 0


def test_the_gap_is_what_contamination_costs_where_both_are_known():
    seen = evidence(
        4,
        clean=torch.tensor([0.9, 0.2, 0.5, torch.nan]),
        contaminated=torch.tensor([0.1, 0.2, 0.75, 0.3]),
    )
    gap = contamination_gap(seen)
    assert gap[:3].tolist() == pytest.approx([0.8, 0.0, -0.25])
    assert gap[3].isnan()
    assert gap.dtype == torch.float64
