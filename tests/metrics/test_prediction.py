from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from gvr_bench.core.types import Scale, Task
from gvr_bench.metrics import Score, predict_scores
from gvr_bench.metrics.prediction import (
    AUROC,
    AVERAGE_PRECISION,
    GROUP,
    PredictionScore,
    Statistic,
    bootstrap,
    weighted_auc,
    weighted_precision,
)

BINARY = Task("binary", ("mass",))
TWO = Task("multilabel", ("mass", "fluid"))
THREE = Task("multiclass", ("0", "1", "2"), source=0, target=1)
BNP = Task("regression", ("BNP",), "ng/L", threshold=100.0, scale=Scale(log=True, divisor=10))


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def macro(predictions: np.ndarray, positive: np.ndarray, statistic: Statistic) -> Score:
    """Mean of a statistic over outputs."""
    return bootstrap(predictions, positive, statistic).mean()


def auroc(prediction: np.ndarray, positive: np.ndarray) -> Score:
    """AUROC of one output."""
    return macro(prediction[:, None], positive[:, None], AUROC)


def scores(
    task: Task, predictions: Any, targets: Any, thresholds: Any
) -> dict[tuple[str, str], PredictionScore]:
    arrays = [np.asarray(a, np.float32) for a in (predictions, targets, thresholds)]
    return {(row.metric, row.output): row for row in predict_scores(task, *arrays)}


def test_one_class_has_no_auroc():
    found = scores(BINARY, column(0.1, 0.9), column(1, 1), [0.5])
    assert found["auroc", "all"].score.value is None
    assert found["auroc", "all"].score.n == 0
    assert found["auroc", "all"].reason == "the test split has one class only"
    assert found["accuracy", "all"].score.value == 0.5


@pytest.mark.parametrize(("least", "passed"), [(None, None), (0.7, True), (0.8, False)])
def test_auroc_is_held_against_what_the_data_needs(
    least: float | None, passed: bool | None
) -> None:
    arrays = column(0.1, 0.4, 0.35, 0.8), column(0, 0, 1, 1), np.array([0.5], np.float32)
    rows = list(predict_scores(BINARY, *arrays, least))
    assert {row.metric: row.passed for row in rows} == {
        "auroc": passed, "average_precision": None, "accuracy": None,
    }  # fmt: skip


def test_outputs_with_one_class_are_skipped():
    predictions = [[0.1, 0.3], [0.4, 0.6], [0.35, 0.2], [0.8, 0.9]]
    targets = [[0, 0], [0, 0], [1, 0], [1, 0]]
    found = scores(TWO, predictions, targets, [0.5, 0.5])
    assert found["auroc", "mass"].score.value == pytest.approx(0.75)
    assert found["auroc", "fluid"].score.value is None
    assert found["auroc", "fluid"].reason
    assert found["auroc", "all"].score.value == pytest.approx(0.75)


def test_no_output_has_both_classes():
    found = scores(TWO, [[0.1, 0.3], [0.4, 0.6]], [[0, 1], [0, 1]], [0.5, 0.5])
    assert found["auroc", "all"].score.value is None
    assert found["auroc", "all"].reason
    assert found["auroc", "mass"].reason
    assert found["auroc", "fluid"].reason


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ((0.1, 0.2, 0.8, 0.9), 1.0),
        ((0.9, 0.8, 0.2, 0.1), 0.0),
        ((0.5, 0.5, 0.5, 0.5), 0.5),  # constant
        ((0.1, 0.4, 0.35, 0.8), 0.75),  # 3 of 4 pairs in order
        ((0.1, 0.4, 0.4, 0.8), 0.875),  # a tie counts half
    ],
)
def test_auroc_equals_the_one_worked_out(predictions, expected):
    found = scores(BINARY, column(*predictions), column(0, 0, 1, 1), [0.5])
    assert found["auroc", "all"].score.value == pytest.approx(expected)


def test_outputs_are_averaged():
    predictions = [[0.1, 0.9], [0.4, 0.8], [0.35, 0.2], [0.8, 0.1]]
    targets = [[0, 0], [0, 0], [1, 1], [1, 1]]
    found = scores(TWO, predictions, targets, [0.5, 0.5])
    assert found["auroc", "all"].score.value == pytest.approx((0.75 + 0.0) / 2)


def test_the_threshold_itself_is_positive():
    predictions, targets = column(0.1, 0.2, 0.3), column(0, 1, 1)
    assert scores(BINARY, predictions, targets, [0.5])["accuracy", "all"].score.value == (
        pytest.approx(1 / 3)
    )
    assert scores(BINARY, predictions, targets, [0.2])["accuracy", "all"].score.value == 1.0


def test_every_output_has_its_own_threshold():
    found = scores(TWO, [[0.3, 0.3], [0.3, 0.3]], [[1, 0], [0, 0]], [0.25, 0.5])
    assert found["accuracy", "all"].score.value == pytest.approx(3 / 4)
    assert found["accuracy", "all"].score.n == 2


def test_the_largest_probability_is_the_class():
    predictions = [[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]]
    found = scores(THREE, predictions, column(0, 1, 2, 0), [0.5] * 3)
    assert found["accuracy", "all"].score.value == 0.75
    assert found["auroc", "0"].score.value == pytest.approx(2.5 / 4)
    assert found["auroc", "1"].score.value == pytest.approx(2 / 3)
    assert found["auroc", "2"].score.value == 1.0


def test_errors_are_in_the_target_unit():
    predictions = BNP.scale.apply(np.array([[50.0], [200.0], [90.0]], np.float32))
    limit = [BNP.scale.apply_one(100.0)]
    found = scores(BNP, predictions, column(50, 200, 400), limit)
    assert found["mae", "all"].score.value == pytest.approx((400 - 90) / 3, rel=1e-4)
    assert found["accuracy", "all"].score.value == pytest.approx(2 / 3)
    assert found["auroc", "all"].score.value == 1.0  # 200 and 90 are above 50


def test_every_reported_metric_is_declared():
    made = [
        scores(BINARY, column(0.1, 0.9), column(0, 1), [0.5]),
        scores(BNP, column(0.1, 0.9), column(50, 200), [0.5]),
    ]
    assert {metric for one in made for metric, _ in one} <= {one.name for one in GROUP.declarations}


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from([2, 5, 1000]))
def test_weighted_auroc_matches_scikit_learn(seed, n, distinct):
    rng = np.random.default_rng(seed)
    prediction = (rng.integers(0, distinct, n) / distinct).astype(np.float32)  # ties where few
    positive = rng.random(n) < 0.5
    weights = rng.integers(0, 3, (4, n))
    found = weighted_auc(prediction, positive, weights)
    assert found.shape == (4,)
    for value, weight in zip(found, weights, strict=True):
        if weight[positive].sum() and weight[~positive].sum():
            expected = roc_auc_score(positive, prediction, sample_weight=weight)
            assert value == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(value)


def test_the_interval_narrows_with_images():
    rng = np.random.default_rng(0)
    positive = rng.random(900) < 0.3
    prediction = (positive + rng.normal(0, 1.2, 900)).astype(np.float32)
    few, many, again = (auroc(prediction[:n], positive[:n]) for n in (60, 900, 900))
    assert few.low < few.value < few.high
    assert many.low < many.value < many.high
    assert many.high - many.low < (few.high - few.low) / 2
    assert many == again
    assert (few.n, many.n) == (60, 900)


def test_one_output_is_its_own_mean():
    rng = np.random.default_rng(0)
    predictions = rng.random((50, 1)).astype(np.float32)
    positive = rng.random((50, 1)) < 0.5
    twice = macro(predictions[:, [0, 0]], positive[:, [0, 0]], AUROC)
    assert twice == macro(predictions, positive, AUROC)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.sampled_from([2, 5, 1000]))
def test_weighted_precision_matches_scikit_learn(seed, n, distinct):
    rng = np.random.default_rng(seed)
    prediction = (rng.integers(0, distinct, n) / distinct).astype(np.float32)
    positive = rng.random(n) < 0.5
    weights = rng.integers(0, 3, (4, n))
    for value, weight in zip(
        weighted_precision(prediction, positive, weights), weights, strict=True
    ):
        if weight[positive].sum():
            expected = average_precision_score(positive, prediction, sample_weight=weight)
            assert value == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(value)


def test_average_precision_of_four_images():
    prediction, positive = column(0.9, 0.8, 0.7, 0.6), column(1, 0, 1, 0) > 0
    found = macro(prediction, positive, AVERAGE_PRECISION)
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.low <= found.value <= found.high


def test_one_positive_image_has_an_interval():
    prediction, positive = np.linspace(0, 1, 10, dtype=np.float32), np.arange(10) == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = auroc(prediction, positive)
    assert found.value == pytest.approx(7 / 9)
    assert 0 <= found.low <= found.value <= found.high <= 1
