"""Resamples are drawn in parts, whose numbers are those of one draw of all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gvr_bench.metrics import base, decoding
from gvr_bench.metrics.base import ENDS, RESAMPLES, Score, score
from gvr_bench.metrics.decoding import fid
from gvr_bench.metrics.prediction import AUROC, AVERAGE_PRECISION, Statistic, draw


def peak(function: Callable[[], Any]) -> int:
    """The most memory of arrays while a function runs, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def values_of(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=n) * 1e3


def images_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and classes of n images for two outputs, with ties."""
    rng = np.random.default_rng(n)
    return rng.random((n, 2)).astype(np.float32).round(2), rng.random((n, 2)) < 0.3


def drawn_at_once(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


@pytest.mark.parametrize("at_once", [1, 1001, base.AT_ONCE])
@pytest.mark.parametrize("n", [1, 2, 9, 333, 2500])
def test_the_interval_is_to_the_last_bit_that_of_one_draw(monkeypatch, n: int, at_once) -> None:
    monkeypatch.setattr(base, "AT_ONCE", at_once)
    values = values_of(n)
    low, high = np.quantile(values[drawn_at_once(n)].mean(axis=1), ENDS)
    assert score(values) == Score(values.mean(), low, high, n)


@pytest.mark.parametrize("statistic", [AUROC, AVERAGE_PRECISION])
@pytest.mark.parametrize("at_once", [1, 5000, base.AT_ONCE])
def test_resampled_areas_are_to_the_last_bit_those_of_one_draw(
    monkeypatch, statistic: Statistic, at_once: int
) -> None:
    monkeypatch.setattr(base, "AT_ONCE", at_once)
    predictions, positive = images_of(150)
    weights = np.stack([np.bincount(rows, minlength=150) for rows in drawn_at_once(150)])
    found = draw(predictions, positive, statistic).resamples
    for k in range(2):
        wanted = statistic.weighted(predictions[:, k], positive[:, k], weights)
        np.testing.assert_array_equal(found[k], wanted)


def test_memory_of_an_interval_does_not_grow_with_the_images() -> None:
    values = values_of(30_000)  # a single draw of all resamples would take 480 MB
    assert peak(lambda: score(values)) < 30e6


@pytest.mark.parametrize("statistic", [AUROC, AVERAGE_PRECISION])
def test_memory_of_areas_does_not_grow_with_the_images(monkeypatch, statistic: Statistic) -> None:
    monkeypatch.setattr(base, "AT_ONCE", 2**13)
    few, many = images_of(500), images_of(4000)
    draw(*few, statistic)  # imports what it needs
    least, most = (peak(lambda seen=seen: draw(*seen, statistic)) for seen in (few, many))
    assert most < 2 * least


def test_a_distance_of_many_images_is_that_of_few_at_once(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(40, 5, generator=rng), torch.randn(70, 5, generator=rng) + 1
    whole, sizes, distances = fid(a, b), [], decoding.frechet_distances

    def seen(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        sizes.append(max(first.numel(), second.numel()))
        return distances(first, second)

    monkeypatch.setattr(decoding, "frechet_distances", seen)
    monkeypatch.setattr(decoding, "AT_ONCE", 3 * 70 * 5)
    found = fid(a, b)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), rel=1e-9)
    assert max(sizes) == 3 * 70 * 5
