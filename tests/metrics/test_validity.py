from __future__ import annotations

import numpy as np
import pytest
from made_up_evidence import DIGITS, evidence

from gvr_bench.metrics.validity import became_other, reencoded_validity, stayed, steps, validity


@pytest.mark.parametrize("metric", [validity, reencoded_validity, became_other, stayed, steps])
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


def test_a_nine_became_a_four_stayed_a_nine_or_became_something_else():
    seen = evidence(
        n=3,
        task=DIGITS,
        flipped=np.array([True, False, False]),
        stayed=np.array([False, True, False]),
    )
    assert validity(seen).tolist() == [1.0, 0.0, 0.0]
    assert stayed(seen).tolist() == [0.0, 1.0, 0.0]
    assert became_other(seen).tolist() == [0.0, 0.0, 1.0]


def test_without_classes_nothing_becomes_another_class():
    seen = evidence(flipped=np.array([True, False]), stayed=np.array([False, True]))
    assert became_other(seen) is None
    assert stayed(seen).tolist() == [0.0, 1.0]
