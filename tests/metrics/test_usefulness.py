from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_evidence import evidence

from gvr_bench.metrics import score
from gvr_bench.metrics.simulatability import (
    USEFULNESS,
    images_to_90pct,
    student_agreement_40,
    student_agreement_160,
    student_gain_40,
    student_gain_160,
)

WITH = {40: torch.tensor([1.0, 0.8, 0.6]), 160: torch.tensor([1.0, 1.0, 0.4])}
ALONE = {40: torch.tensor([0.2, 0.8, 1.0]), 160: torch.tensor([1.0, 1.0, 1.0])}


@pytest.mark.parametrize("metric", USEFULNESS, ids=lambda m: m.name)
def test_without_students_there_is_no_number(metric):
    assert metric(evidence()) is None
    assert metric.needs
    assert not metric.of_cases


def test_too_few_images_for_a_number_of_images_are_no_number():
    taught = evidence(agreement={40: WITH[40]}, agreement_alone={40: ALONE[40]})
    assert student_agreement_160(taught) is None
    assert student_gain_160(taught) is None
    assert "160" in student_gain_160.needs
    assert student_agreement_40(taught) is not None


def test_agreement_and_gain_are_per_unseen_image():
    taught = evidence(agreement=WITH, agreement_alone=ALONE)
    assert student_agreement_40(taught).tolist() == pytest.approx([1, 0.8, 0.6])
    assert student_agreement_160(taught).tolist() == pytest.approx([1, 1, 0.4])
    assert student_gain_40(taught).tolist() == pytest.approx([0.8, 0, -0.4])
    assert student_gain_160(taught).tolist() == pytest.approx([0, 0, -0.6])


def test_maps_that_change_nothing_gain_nothing():
    taught = evidence(agreement=WITH, agreement_alone=WITH)
    assert student_gain_40(taught).tolist() == [0, 0, 0]


def test_a_student_that_never_agrees_does_not_drop_out_of_the_mean():
    assert images_to_90pct(evidence(needed=np.array([12.0, np.nan, 20.0]))) is None


def test_the_images_needed_are_averaged_over_students():
    found = score(images_to_90pct(evidence(needed=np.array([10.0, 20.0, 60.0]))).numpy())
    assert (found.value, found.n) == (30.0, 3)
