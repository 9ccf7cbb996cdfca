from __future__ import annotations

import numpy as np
import pytest
from made_up_evidence import evidence

from gvr_bench.metrics.validity import reencoded_validity, steps, validity


@pytest.mark.parametrize("metric", [validity, reencoded_validity, steps])
def test_without_a_counterfactual_nothing_is_claimed(metric):
    assert metric(evidence()) is None


def test_a_counterfactual_that_was_not_found_counts_as_a_failure():
    seen = evidence(
        found=np.array([True, False]),
        flipped=np.array([True, False]),
        reencoded_flipped=np.array([False, False]),
    )
    assert validity(seen).tolist() == [1.0, 0.0]
    assert reencoded_validity(seen).tolist() == [0.0, 0.0]


def test_the_latent_and_the_image_are_judged_apart():
    seen = evidence(flipped=np.array([True, False]), reencoded_flipped=np.array([False, True]))
    assert validity(seen).tolist() == [1.0, 0.0]
    assert reencoded_validity(seen).tolist() == [0.0, 1.0]


def test_steps_are_counted_per_image():
    found = steps(evidence(steps=np.array([0, 500])))
    assert found.tolist() == [0.0, 500.0]
    assert found.dtype == np.float64
