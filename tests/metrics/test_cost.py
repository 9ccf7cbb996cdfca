from __future__ import annotations

import torch

from gvr_bench.metrics.cost import CostInput, model_evaluations, peak_memory_mb, seconds_per_image

MEASURED = CostInput(torch.tensor([0.25, 3.0]), torch.tensor([2, 1000]), torch.tensor([1.5, 1.5]))


def test_costs_are_reported_as_measured():
    assert seconds_per_image(MEASURED).tolist() == [0.25, 3.0]
    assert model_evaluations(MEASURED).tolist() == [2.0, 1000.0]
    assert peak_memory_mb(MEASURED).tolist() == [1.5, 1.5]


def test_unmeasured_memory_is_not_zero():
    assert peak_memory_mb(CostInput(MEASURED.seconds, MEASURED.evaluations, None)) is None
