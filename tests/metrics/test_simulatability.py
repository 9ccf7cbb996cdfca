from __future__ import annotations

import pytest
import torch

from gvr_bench.metrics import score
from gvr_bench.metrics.simulatability import (
    GROUP,
    SimulatabilityInput,
    images_to_90pct,
    student_agreement_40,
    student_agreement_160,
    student_gain_40,
    student_gain_160,
)

WITH = {40: torch.tensor([1.0, 0.8, 0.6]), 160: torch.tensor([1.0, 1.0, 0.4])}
ALONE = {40: torch.tensor([0.2, 0.8, 1.0]), 160: torch.tensor([1.0, 1.0, 1.0])}


NEEDED = torch.tensor([10.0, 20.0, 60.0])


def test_student_metrics_are_not_per_case():
    assert not any(metric.of_cases for metric in GROUP.metrics)


def test_too_few_images_are_no_number():
    taught = SimulatabilityInput({40: WITH[40]}, {40: ALONE[40]}, NEEDED)
    assert student_agreement_160(taught) is None
    assert student_gain_160(taught) is None
    assert "160" in student_gain_160.needs
    assert student_agreement_40(taught) is not None


def test_agreement_and_gain_are_per_image():
    taught = SimulatabilityInput(WITH, ALONE, NEEDED)
    assert student_agreement_40(taught).tolist() == pytest.approx([1, 0.8, 0.6])
    assert student_agreement_160(taught).tolist() == pytest.approx([1, 1, 0.4])
    assert student_gain_40(taught).tolist() == pytest.approx([0.8, 0, -0.4])
    assert student_gain_160(taught).tolist() == pytest.approx([0, 0, -0.6])


def test_maps_that_change_nothing_gain_nothing():
    taught = SimulatabilityInput(WITH, WITH, NEEDED)
    assert student_gain_40(taught).tolist() == [0, 0, 0]


def test_one_failing_student_hides_the_mean():
    assert (
        images_to_90pct(SimulatabilityInput(WITH, ALONE, torch.tensor([12.0, torch.nan, 20.0])))
        is None
    )


def test_needed_images_are_averaged():
    found = score(images_to_90pct(SimulatabilityInput(WITH, ALONE, NEEDED)).numpy())
    assert (found.value, found.n) == (30.0, 3)
