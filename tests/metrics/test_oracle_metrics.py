from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_inputs import features_input, oracle_input
from scipy.linalg import sqrtm

from gvr_bench.metrics.oracle import domain_fid, oracle_base_rate, oracle_validity


def fid(made: np.ndarray, real: np.ndarray) -> float:
    return domain_fid(features_input(features=made, real_features=real)).value


def by_definition(made: np.ndarray, real: np.ndarray) -> float:
    """The distance as it is written down, by scipy's matrix root."""
    a, b = np.cov(made, rowvar=False), np.cov(real, rowvar=False)
    shift = made.mean(0) - real.mean(0)
    return float(shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real))


def test_oracle_metrics_need_a_counterfactual():
    assert oracle_validity(oracle_input()) is None
    assert oracle_base_rate(oracle_input()) is None
    assert domain_fid(features_input()) is None


def test_overlooked_findings_are_no_success():
    seen = oracle_input(
        n=4,
        sees_source=np.array([True, True, False, False]),
        reached_target=np.array([True, False, True, False]),
    )
    found = oracle_validity(seen)
    assert found[:2].tolist() == [1.0, 0.0]
    assert found[2:].isnan().all()


@pytest.mark.parametrize(("made", "real"), [(1, 5), (5, 1), (5, 0)])
def test_a_single_image_has_no_distribution(made, real):
    score = domain_fid(
        features_input(features=np.ones((made, 2)), real_features=np.ones((real, 2)))
    )
    assert (score.value, score.n) == (None, 0)


def test_equal_images_have_no_distance():
    features = np.random.default_rng(0).normal(size=(40, 8))
    assert fid(features, features[::-1].copy()) == pytest.approx(0, abs=1e-6)


def test_the_distance_by_hand():
    low, high = np.array([[-1.0], [1.0]]), np.array([[-3.0], [3.0]])  # deviations: root 2, root 18
    assert fid(low, high) == pytest.approx((18**0.5 - 2**0.5) ** 2)
    assert fid(low, high + 5) == pytest.approx(25 + (18**0.5 - 2**0.5) ** 2)


@pytest.mark.parametrize(("n", "m", "features"), [(50, 80, 6), (300, 40, 12)])
def test_the_distance_matches_scipy(n, m, features):
    rng = np.random.default_rng(n)
    mixed = rng.normal(size=(features, features))
    made, real = rng.normal(size=(n, features)) @ mixed, rng.normal(1, 2, size=(m, features))
    assert fid(made, real) == pytest.approx(by_definition(made, real), rel=1e-6)


def test_gaussians_match_their_closed_form():
    rng = np.random.default_rng(0)
    made = rng.normal([0, 0], [1, 2], (4000, 2))
    real = rng.normal([3, 4], [2, 2], (4000, 2))
    assert fid(made, real) == pytest.approx(25 + 1, rel=0.03)


def test_the_distance_has_an_interval():
    rng = np.random.default_rng(0)
    seen = features_input(
        features=rng.normal(size=(60, 4)), real_features=rng.normal(1, 1, (90, 4))
    )
    score = domain_fid(seen)
    assert 0 <= score.low < score.value < score.high
    assert score.n == 60
    assert domain_fid(seen) == score


def test_the_base_rate_counts_reconstructions():
    seen = oracle_input(
        3,
        base_rate=torch.tensor([True, False, True]),
        sees_source=torch.tensor([True, True, False]),
    )
    assert oracle_base_rate(seen)[:2].tolist() == [1.0, 0.0]
    assert oracle_base_rate(seen)[2].isnan()
