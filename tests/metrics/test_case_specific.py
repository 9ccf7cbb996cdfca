"""Scores of maps that are compared between cases: the same map for all cases wins nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_inputs import comparison

from gvr_bench.metrics import case_specific
from gvr_bench.metrics import score as mean_of
from gvr_bench.metrics.case_specific import ComparisonInput, standardised
from gvr_bench.metrics.ground_truth import GROUP, case_identification, case_specific_correlation

Array = np.ndarray[Any, Any]
BOTH = pytest.mark.parametrize("metric", [case_specific_correlation, case_identification])


def changes(n: int, seed: int = 0, size: int = 12) -> Array:
    """True changes with a common part, which is two thirds of their variance."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(size, size))
    return (2**0.5 * common + rng.normal(size=(n, size, size))).astype(np.float32)


def by_hand(attribution: Array, truth: Array) -> tuple[list[float], list[float]]:
    """Both scores by numpy, case by case as they are defined."""

    def unit(v: Array) -> Array:
        flat = v.ravel().astype(np.float64) - v.astype(np.float64).mean()
        return flat / np.linalg.norm(flat)

    a, d = ([unit(v) for v in maps] for maps in (attribution, truth))
    n = len(a)
    specific, identified = [], []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        rests = []
        for maps in (a, d):
            common = np.mean([maps[j] for j in others], axis=0)
            rests.append(maps[i] - (maps[i] @ common) / (common @ common) * common)
        specific.append(float(np.corrcoef(*rests)[0, 1]))
        own = np.corrcoef(a[i], d[i])[0, 1]
        identified.append(float(np.mean([own > np.corrcoef(a[i], d[j])[0, 1] for j in others])))
    return specific, identified


def test_case_specific_scores_lead_the_truth():
    assert GROUP.metrics[:2] == [case_specific_correlation, case_identification]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_both_equal_their_written_definition(seed):
    rng = np.random.default_rng(seed)
    truth = changes(7, seed)
    attribution = truth + rng.normal(0, 3, truth.shape)
    specific, identified = by_hand(attribution, truth)
    seen = comparison(attribution, truth)
    assert case_specific_correlation(seen).tolist() == pytest.approx(specific, abs=1e-6)
    assert case_identification(seen).tolist() == pytest.approx(identified)


def test_the_truth_scores_one():
    truth = changes(20)
    for scale in (1.0, 1e-20, 1e20):
        seen = comparison(scale * truth.astype(np.float64) + 3 * scale, truth)
        assert case_specific_correlation(seen).tolist() == pytest.approx([1] * 20)
        assert case_identification(seen).tolist() == [1] * 20


def test_one_map_for_all_cases_wins_nothing():
    truth = changes(30)
    template = np.broadcast_to(changes(200).mean(0), truth.shape)  # knows what is common
    pairs = zip(template, truth, strict=True)
    assert np.mean([np.corrcoef(t.ravel(), d.ravel())[0, 1] for t, d in pairs]) > 0.75
    for rounding in (0, 1e-7):
        noise = rounding * np.random.default_rng(0).normal(size=truth.shape)
        seen = comparison(template + noise, truth)
        assert case_specific_correlation(seen).tolist() == [0] * 30
        assert case_identification(seen).mean().item() == pytest.approx(0.5)


@BOTH
def test_maps_without_contrast_score_chance(metric):
    truth = changes(9)
    seen = comparison(np.full_like(truth, 0.1), truth)
    assert metric(seen).tolist() == [0.5 if metric is case_identification else 0.0] * 9


@BOTH
def test_random_maps_score_chance(metric):
    truth = changes(200)
    noise = np.random.default_rng(1).normal(size=truth.shape)
    found = mean_of(metric(comparison(noise, truth)).numpy())
    assert found.low <= (0.5 if metric is case_identification else 0.0) <= found.high
    assert found.high - found.low < 0.1


def test_a_template_hides_no_specific_part():
    truth = changes(40)
    template = 5 * changes(200).mean(0)
    seen = comparison(template + truth, truth)
    assert case_specific_correlation(seen).mean() > 0.95
    assert case_identification(seen).mean() > 0.95


def test_masks_are_compared_like_changes():
    masks = np.zeros((4, 5, 5), bool)
    for i in range(4):
        masks[i, i] = True
    found = comparison(np.where(masks, 3.0, 0.1), masks)
    assert case_specific_correlation(found).tolist() == pytest.approx([1] * 4)
    assert case_identification(found).tolist() == [1] * 4
    rolled = comparison(np.roll(masks, 1, axis=0), masks)  # each shows the finding of another case
    assert case_identification(rolled).tolist() == pytest.approx([1 / 3] * 4)  # two ties of three


def test_findings_of_other_cases_win_nothing():
    truth = changes(60)
    seen = comparison(np.roll(truth, 1, axis=0), truth)
    assert abs(case_specific_correlation(seen).mean()) < 0.05
    assert case_identification(seen).mean() < 0.55


def test_equal_truths_tie():
    truth = changes(3)
    truth[1] = truth[0]
    found = case_identification(comparison(truth, truth))
    assert found.tolist() == pytest.approx([0.75, 0.75, 1.0])


def test_nothing_specific_to_show_is_nan():
    truth = np.broadcast_to(changes(1), (5, 12, 12))
    assert case_specific_correlation(comparison(changes(5), truth)).isnan().all()


@BOTH
def test_outputs_are_compared_apart(metric):
    truth, maps = changes(12), changes(12, seed=3)
    alike = [0, 7] * 6
    together = metric(comparison(maps, truth, alike))
    for first in (0, 1):
        apart = metric(comparison(maps[first::2], truth[first::2]))
        assert together[first::2].tolist() == pytest.approx(apart.tolist(), abs=1e-12)


@BOTH
def test_cases_left_out_change_nothing(metric):
    truth, maps = changes(8), changes(8, seed=3)
    alone = metric(comparison(maps[2:], truth[2:]))
    truth[1] = 0  # nothing is known of it
    found = metric(comparison(maps, truth, [-1, *[0] * 7]))
    assert found[:2].isnan().all()
    assert found[2:].tolist() == pytest.approx(alone.tolist(), abs=1e-12)


@BOTH
@pytest.mark.parametrize("n", [1, 2])
def test_few_cases_are_no_error(metric, n):
    truth = changes(n)
    expected = [np.nan] if n == 1 else [1.0, 1.0]
    assert metric(comparison(truth, truth)).tolist() == pytest.approx(expected, nan_ok=True)


@BOTH
def test_blocks_do_not_change_values(metric, monkeypatch):
    truth = changes(11)
    seen = comparison(truth + changes(11, seed=1), truth)
    whole = metric(seen)
    monkeypatch.setattr(case_specific, "BLOCK_NUMBERS", 3 * 144)
    assert metric(seen).tolist() == pytest.approx(whole.tolist(), abs=1e-12)


@BOTH
def test_comparing_takes_bounded_memory(metric, monkeypatch):
    """Only a block of maps is read at a time, however many cases there are."""
    monkeypatch.setattr(case_specific, "BLOCK_NUMBERS", 64 * 144)
    largest = []

    def read(rows: slice) -> torch.Tensor:
        largest.append(rows.stop - rows.start)
        rng = np.random.default_rng(rows.start)
        return standardised(torch.from_numpy(rng.normal(size=(largest[-1], 12, 12))))

    metric(ComparisonInput(torch.zeros(1000, dtype=torch.int64), read, read))
    assert max(largest) == 64
