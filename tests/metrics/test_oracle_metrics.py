from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_inputs import BINARY, features_input, identity_input, oracle_input, question
from scipy.linalg import sqrtm
from scipy.spatial.distance import jensenshannon

from gvr_bench.core.types import Task
from gvr_bench.metrics.oracle import (
    domain_fid,
    identity_retained,
    oracle_base_rate,
    oracle_validity,
    other_outputs_changed,
)
from gvr_bench.metrics.output_changes import others_changed

FIVE = Task("multiclass", ("a", "b", "c", "d", "e"), source=0, target=1)
THREE = Task("multilabel", ("mass", "fluid", "air"))


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


def changed(task: Task, before: list[float], after: list[float], **asked: int) -> float:
    images = (torch.tensor([outputs], dtype=torch.float32) for outputs in (before, after))
    values = others_changed(question(task, 1, **asked), *images)
    return float(other_outputs_changed(oracle_input(1, others_changed=values)))


def test_other_findings_changed_by_hand():
    assert changed(THREE, [3, 1, -2], [-9, 1, -2]) == pytest.approx(0)  # the source alone
    assert changed(THREE, [3, 90, 0], [3, -90, 0]) == pytest.approx(1 / 2)  # one of two, wholly
    assert changed(THREE, [90, 0, 0], [-90, 0, 0], source=2, target=2) == pytest.approx(1 / 2)


def test_other_classes_changed_by_hand():
    assert changed(FIVE, [9, 0, 1, 2, 3], [0, 9, 5, 6, 7], target=1) == pytest.approx(0)
    assert changed(FIVE, [9, 0, 90, 0, 0], [0, 9, 0, 90, 0], target=1) == pytest.approx(1)


def test_the_divergence_is_scipys():
    rng = np.random.default_rng(0)
    before, after = rng.normal(0, 2, (2, 20, 5)).astype(np.float32)
    values = others_changed(
        question(FIVE, 20, 0, 1), torch.from_numpy(before), torch.from_numpy(after)
    )
    p, q = (np.exp(x[:, 2:].astype(float)) for x in (before, after))
    expected = jensenshannon(p, q, base=2, axis=1) ** 2
    assert values.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    values = others_changed(
        question(THREE, 20), torch.from_numpy(before[:, :3]), torch.from_numpy(after[:, :3])
    )
    yes, no = (1 / (1 + np.exp(-x[:, 1:3].astype(float))) for x in (before, after))
    each = jensenshannon(np.stack([yes, 1 - yes]), np.stack([no, 1 - no]), base=2, axis=0) ** 2
    assert values.tolist() == pytest.approx(each.mean(1).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "task",
    [
        BINARY,
        Task("multilabel", ("mass",)),
        Task("multiclass", ("a", "b", "c"), source=0, target=1),
        Task("regression", ("a", "b"), threshold=1.0),
    ],
    ids=lambda task: f"{task.kind} {len(task.outputs)}",
)
def test_without_other_outputs_nothing_is_claimed(task):
    outputs = torch.zeros(2, len(task.outputs))
    assert others_changed(question(task, 2), outputs, outputs) is None
    assert other_outputs_changed(oracle_input()) is None


def test_identity_by_hand():
    images = np.array([[0.0], [1.0], [5.0]])
    made = np.array([[0.4], [0.4], [4.0]])  # the second lies nearer to the first image
    seen = identity_input(
        counterfactual=made, image=images, patients=np.array([7, 8, 9]),
        index=np.array([0, 1, 3]), cases=4,
    )  # fmt: skip
    assert identity_retained(seen).tolist() == pytest.approx([1, 0, np.nan, 1], nan_ok=True)


def test_images_of_one_patient_are_alike():
    images, made = np.array([[0.0], [1.0], [5.0]]), np.array([[0.4], [0.4], [3.0]])
    seen = identity_input(
        counterfactual=made, image=images, patients=np.array([7, 7, 9]),
        index=np.arange(3), cases=3,
    )  # fmt: skip
    assert identity_retained(seen).tolist() == [1, 1, 0.5]  # 3 lies between 1 and 5


def test_identity_needs_two_patients():
    seen = {"counterfactual": np.ones((2, 1)), "image": np.ones((2, 1)), "index": np.arange(2)}
    alone = identity_input(**seen, patients=np.zeros(2, np.int64), cases=2)
    assert identity_retained(alone) is None
    assert identity_retained(identity_input(patients=np.arange(2), cases=2)) is None
