from __future__ import annotations

import numpy as np
import pytest
from made_up_evidence import evidence

from gvr_bench.metrics.realism import im1


def ratio(target: float, source: float) -> float:
    seen = evidence(1, target_error=np.array([target]), source_error=np.array([source]))
    return float(im1(seen)[0])


def test_without_autoencoders_of_both_sides_nothing_is_claimed():
    assert im1(evidence()) is None
    assert im1(evidence(target_error=np.ones(2))) is None
    assert im1(evidence(source_error=np.ones(2))) is None


def test_a_perfect_reconstruction_divides_by_no_zero():
    assert ratio(0.0, 0.0) == 0.0
    assert ratio(1.0, 0.0) == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [(3.0, 6.0, 0.5), (6.0, 3.0, 2.0), (5.0, 5.0, 1.0), (0.0, 4.0, 0.0)],
)
def test_the_ratio_equals_the_one_worked_out(target, source, expected):
    assert ratio(target, source) == pytest.approx(expected, rel=1e-5)
