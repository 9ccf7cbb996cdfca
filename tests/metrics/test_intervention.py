from __future__ import annotations

import numpy as np
import pytest
import torch
from gvr_datasets.phantom.dataset import Phantom
from made_up_inputs import DIGITS, intervention_input, question
from made_up_model import BNP, target_of
from scipy.stats import spearmanr
from torch import Tensor

from gvr_bench.core.types import GroundTruth, Split
from gvr_bench.metrics.intervention import (
    InterventionInput,
    effect_scores,
    evidence,
    intervention_agreement,
    intervention_sign_agreement,
)
from gvr_bench.pipeline.steps.data import truth_columns

K = 10  # structures, more than fit into a byte
ROWS = np.eye(K, dtype=bool)[None, :, :, None].repeat(K, axis=3)  # one row of pixels each


def of_rows(effect: Tensor, attribution: Tensor) -> InterventionInput:
    """Structures (N, K) that are rows of pixels; `attribution` (N, K) is each row's sum."""
    bits = np.packbits(ROWS.repeat(len(effect), axis=0), axis=1)
    maps = (attribution / K)[:, :, None].expand(-1, K, K)
    return intervention_input(len(effect), attribution=maps, structure_mask=bits, effect=effect)


def draw(n: int = 6) -> Tensor:
    return torch.randn(n, K, generator=torch.Generator().manual_seed(1))


def test_data_without_structures_have_none():
    assert intervention_agreement(intervention_input()) is None
    assert intervention_sign_agreement(intervention_input()) is None


def test_attribution_equal_to_effect_agrees():
    same, negated = of_rows(draw(), draw()), of_rows(draw(), -draw())
    assert intervention_agreement(same).tolist() == pytest.approx([1.0] * 6)
    assert intervention_sign_agreement(same).tolist() == [1.0] * 6
    assert intervention_agreement(negated).tolist() == pytest.approx([-1.0] * 6)
    assert intervention_sign_agreement(negated).tolist() == [0.0] * 6


def test_agreement_equals_that_of_scipy():
    effect, other = draw(), draw().flip(1).round(decimals=0)  # with ties
    effect[:, 7:] = torch.nan
    values = intervention_agreement(of_rows(effect, other))
    expected = [spearmanr(a[:7], b[:7]).statistic for a, b in zip(effect, other, strict=True)]
    assert values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("flat", [0.0, 2.5])
def test_constant_maps_rank_nothing(flat: float):
    data = of_rows(draw(), torch.full((6, K), flat))
    assert intervention_agreement(data).tolist() == [0.0] * 6


def test_zeros_have_half_the_signs():
    data = of_rows(draw(), torch.zeros(6, K))
    assert intervention_sign_agreement(data).tolist() == [0.5] * 6


def test_too_few_structures_score_nothing():
    effect = draw(4)
    effect[0, 2:] = torch.nan  # two
    effect[1, 3:] = torch.nan  # three
    effect[2, :] = torch.nan
    effect[3, :] = 0.5  # all have one effect
    data = of_rows(effect, draw(4))
    assert intervention_agreement(data).isnan().tolist() == [True, False, True, True]
    assert intervention_sign_agreement(data).isnan().tolist() == [False, False, True, False]


def test_silent_structures_have_no_sign():
    effect = torch.tensor([[1.0, -1.0, 1e-7, *[torch.nan] * 7]])
    inside = torch.tensor([[2.0, 3.0, -4.0, *[9.0] * 7]])
    assert intervention_sign_agreement(of_rows(effect, inside)).tolist() == [0.5]


def test_evidence_ignores_shared_constants():
    outputs = torch.tensor([[1.0, 2.0, 4.0]])
    target = question(DIGITS, 1, source=2)
    value = evidence(target, outputs)
    p = outputs.softmax(1)[0, 2]
    assert value.tolist() == pytest.approx([float(torch.logit(p))])
    torch.testing.assert_close(evidence(target, outputs + 7), value)
    regression = evidence(target_of(BNP, 1), torch.tensor([[0.4]]))
    assert regression.tolist() == pytest.approx([0.4])


def test_distractor_effect_is_a_ratio():
    effect = np.array([[4.0, -1.0, np.nan], [2.0, np.nan, 9.0]])
    cause = np.array([[True, False, False]] * 2)
    distractor = np.array([[False, True, False]] * 2)
    (row,) = effect_scores(effect, cause, distractor)
    assert row.score.value == pytest.approx(1 / 3)
    assert row.score.low <= 1 / 3 <= row.score.high
    (row,) = effect_scores(effect, cause, np.zeros_like(cause))
    assert row.score.value is None
    assert "distractor" in row.reason


@pytest.fixture(scope="module")
def phantom() -> tuple[Split, np.ndarray, GroundTruth]:
    settings = Phantom.Settings(
        size=64, train=1, validation=1, test=150, distractor_correlation=1.0
    )
    split = Phantom(settings).split("test")
    index = np.flatnonzero(split.targets[:, 0] >= 100)[:30]
    return split, index, split.truth(index, np.zeros(len(index), np.int64))


@pytest.mark.parametrize("honest", [False, True])
def test_map_of_what_decides_agrees(phantom, honest: bool):
    """A head that reads the pixels of the devices, or those of the disease."""
    split, index, truth = phantom
    s = truth.structures
    device, disease = (torch.from_numpy(m).float() for m in (truth.distractor, truth.mask))
    read = disease if honest else device * (1 - disease)

    def head(images: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(images).float()[:, :, 0] if images.ndim == 5 else images
        return (pixels * read[:, None]).sum((2, 3)) / 255

    images = split.images(index)
    effect = head(images[:, None]) - head(s.removed)  # (n, K)
    effect[~torch.from_numpy(s.present)] = torch.nan
    bits = torch.from_numpy(truth_columns(truth)["structure_mask"])
    on_device, on_disease = (
        InterventionInput(attribution, bits, effect) for attribution in (device, disease)
    )
    right, wrong = (on_disease, on_device) if honest else (on_device, on_disease)
    best, worst = (intervention_agreement(data).nanmean() for data in (right, wrong))
    assert best > 0.8
    assert worst < 0.3
    (row,) = effect_scores(effect.numpy(), s.cause, s.distractor)
    assert (row.score.value < 0.5) is honest
