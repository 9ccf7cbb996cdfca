"""Resamples are drawn in parts, whose numbers are those of one draw of all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gvr_bench.metrics import frechet, statistics
from gvr_bench.metrics.frechet import fid
from gvr_bench.metrics.prediction import AUROC, AVERAGE_PRECISION, Statistic, bootstrap
from gvr_bench.metrics.statistics import ENDS, RESAMPLES, Score, score


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


def one_draw(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


@pytest.mark.parametrize("batch", [1, 1001, statistics.BATCH_NUMBERS])
@pytest.mark.parametrize("n", [1, 2, 9, 333, 2500])
def test_batched_draws_give_equal_intervals(monkeypatch, n: int, batch) -> None:
    monkeypatch.setattr(statistics, "BATCH_NUMBERS", batch)
    values = values_of(n)
    low, high = np.quantile(values[one_draw(n)].mean(axis=1), ENDS)
    assert score(values) == Score(values.mean(), low, high, n)


@pytest.mark.parametrize("statistic", [AUROC, AVERAGE_PRECISION])
@pytest.mark.parametrize("batch", [1, 5000, statistics.BATCH_NUMBERS])
def test_batched_draws_give_equal_areas(monkeypatch, statistic: Statistic, batch: int) -> None:
    monkeypatch.setattr(statistics, "BATCH_NUMBERS", batch)
    predictions, positive = images_of(150)
    weights = np.stack([np.bincount(rows, minlength=150) for rows in one_draw(150)])
    found = bootstrap(predictions, positive, statistic).resamples
    for k in range(2):
        wanted = statistic.weighted(predictions[:, k], positive[:, k], weights)
        np.testing.assert_array_equal(found[k], wanted)


def test_intervals_take_bounded_memory() -> None:
    values = values_of(30_000)  # a single draw of all resamples would take 480 MB
    assert peak(lambda: score(values)) < 30e6


@pytest.mark.parametrize("statistic", [AUROC, AVERAGE_PRECISION])
def test_areas_take_bounded_memory(monkeypatch, statistic: Statistic) -> None:
    monkeypatch.setattr(statistics, "BATCH_NUMBERS", 2**13)
    few, many = images_of(500), images_of(4000)
    bootstrap(*few, statistic)  # imports what it needs
    least, most = (peak(lambda data=data: bootstrap(*data, statistic)) for data in (few, many))
    assert most < 2 * least


def test_distances_are_computed_in_batches(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(40, 5, generator=rng), torch.randn(70, 5, generator=rng) + 1
    whole, sizes, distances = fid(a, b), [], frechet.frechet_distances

    def watched(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        sizes.append(max(first.numel(), second.numel()))
        return distances(first, second)

    monkeypatch.setattr(frechet, "frechet_distances", watched)
    monkeypatch.setattr(frechet, "BATCH_NUMBERS", 3 * 70 * 5)
    found = fid(a, b)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), rel=1e-9)
    assert max(sizes) == 3 * 70 * 5
