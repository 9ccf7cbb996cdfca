from __future__ import annotations

import numpy as np
import pytest
from made_up_evidence import evidence

from gvr_bench.metrics.cost import model_evaluations, peak_memory_mb, seconds_per_image


@pytest.mark.parametrize("metric", [model_evaluations, peak_memory_mb])
def test_what_was_not_measured_is_not_a_zero(metric):
    assert metric(evidence()) is None


def test_the_time_of_each_image_is_reported_as_it_was_measured():
    assert seconds_per_image(evidence(seconds=np.array([0.25, 3.0]))).tolist() == [0.25, 3.0]


def test_the_passes_of_each_image_are_reported_as_they_were_counted():
    assert model_evaluations(evidence(evaluations=np.array([2, 1000]))).tolist() == [2.0, 1000.0]


def test_memory_is_reported_as_it_was_measured():
    assert peak_memory_mb(evidence(memory=np.array([1.5, 1.5]))).tolist() == [1.5, 1.5]
