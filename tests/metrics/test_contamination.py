from __future__ import annotations

import pytest
import torch

from gvr_bench.metrics.contamination import ContaminationInput, contamination_gap

MASK = torch.tensor([[[True, False], [False, False]]]).expand(3, 2, 2)
RIGHT = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
HALF = torch.tensor([[1.0, 2.0], [0.0, 0.0]])


def test_the_gap_is_lost_pixel_ap():
    clean, contaminated = torch.stack([RIGHT, HALF, RIGHT]), torch.stack([HALF, RIGHT, HALF])
    predicts = torch.tensor([True, True, False])
    gap = contamination_gap(ContaminationInput(clean, MASK, contaminated, predicts))
    assert gap[:2].tolist() == pytest.approx([0.5, -0.5])
    assert gap[2].isnan()  # the contaminated model does not predict the finding


def test_no_contaminated_head_is_no_gap():
    clean = torch.stack([RIGHT] * 3)
    assert contamination_gap(ContaminationInput(clean, MASK)) is None
    predicts = torch.ones(3, dtype=torch.bool)
    assert contamination_gap(ContaminationInput(clean, None, clean, predicts)) is None
