from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_inputs import ground_truth, one_case, random_input
from torch import Tensor

from gvr_bench.metrics import GROUPS, METRICS, Score, score
from gvr_bench.metrics.ground_truth import GROUP

every = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_no_values_are_no_score(values):
    assert score(np.array(values)) == Score(None, None, None, 0)


def test_nan_values_are_left_out():
    whole = score(np.array([1.0, 3.0, 8.0]))
    assert (whole.value, whole.n) == (4.0, 3)
    assert score(np.array([1.0, np.nan, 3.0, np.nan, 8.0])) == whole


def test_one_image_has_no_interval():
    assert score(np.array([0.5])) == Score(0.5, 0.5, 0.5, 1)


def test_truth_values_are_a_share():
    assert score(np.array([True, False, False, False])).value == 0.25


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_the_interval_lies_within_the_values(values):
    found = score(np.array(values))
    slack = 1e-9 * (1 + max(abs(v) for v in values))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack


@pytest.mark.parametrize("n", [20, 200, 2000])
def test_the_interval_has_the_textbook_width(n):
    values = np.random.default_rng(1).normal(5, 2, n)
    found = score(values)
    deviation = values.std() / n**0.5
    assert (found.value - found.low) / deviation == pytest.approx(1.96, abs=0.2)
    assert (found.high - found.value) / deviation == pytest.approx(1.96, abs=0.2)


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(2)
    drawn = [score(rng.normal(0, 1, 50)) for _ in range(300)]
    assert 0.9 < np.mean([s.low <= 0 <= s.high for s in drawn]) < 0.98


def test_the_interval_narrows_with_more_images():
    values = np.random.default_rng(0).random(1600)
    widths = [s.high - s.low for s in (score(values[:n]) for n in (25, 100, 400, 1600))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 4


def test_scoring_twice_gives_the_same_interval():
    values = np.random.default_rng(0).random(30)
    assert score(values) == score(values.copy())


def test_names_are_unique():
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@every
def test_a_metric_is_declared_in_full(metric):
    assert metric.better in {"up", "down", "-"}
    assert metric.lowest < metric.highest
    assert metric.group in {group.name for group in GROUPS}
    for text in (metric.title, metric.meaning, metric.formula, metric.fooled_by, metric.source):
        assert text
        assert text == " ".join(text.split())


def known(values: Tensor | Score | None) -> Tensor:
    """The numbers that a metric returned, an interval's ends among them."""
    if values is None:
        return torch.empty(0)
    if isinstance(values, Score):
        values = torch.tensor([values.low, values.value, values.high])
        assert values.tolist() == sorted(values.tolist())
    return values[~values.isnan()]


@every
@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_values_lie_in_the_declared_range(metric, seed):
    values = metric(random_input(metric, seed))
    assert values is not None
    if metric.of_cases:
        assert values.shape == (12,)
    there_may_be_nothing = metric.name in {
        "diversity",
        "invalidation",
        "redundancy",
    }  # where no image flips
    assert there_may_be_nothing or len(known(values)) > 0
    assert all(metric.lowest <= value <= metric.highest for value in known(values))


@pytest.mark.parametrize(
    "metric", [m for m in GROUP.metrics if m.over == "case"], ids=lambda m: m.name
)
@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_perfect_maps_stay_in_range(metric, seed):
    change = np.random.default_rng(seed).normal(size=(4, 8, 8)).astype(np.float32)
    data = ground_truth(4, 8, attribution=change, true_change=change, mask=change > 1)
    values = known(metric(data))
    assert ((values >= metric.lowest) & (values <= metric.highest)).all()


ON_THEIR_OWN = {"truth", "validity", "proximity", "oracle", "realism", "cost"}


@pytest.mark.parametrize(
    "metric",
    [m for m in METRICS if m.over == "case" and m.group in ON_THEIR_OWN],
    ids=lambda m: m.name,
)
def test_cases_are_scored_independently(metric):
    data = random_input(metric, 5, n=3)
    alone = torch.cat([metric(one_case(data, i)) for i in range(3)])
    assert torch.allclose(metric(data), alone, rtol=1e-6, atol=1e-7, equal_nan=True)
