from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_inputs import complexity_input
from scipy.stats import entropy

from gvr_bench.metrics.complexity import complexity, sparseness


def both(attribution: list[float]) -> tuple[float, float]:
    """Sparseness and complexity of a map of 2 x 2 pixels."""
    data = complexity_input(1, attribution=torch.tensor(attribution).view(1, 2, 2))
    return float(sparseness(data)), float(complexity(data))


@pytest.mark.parametrize(
    ("attribution", "gini", "nats"),
    [
        ([0.0, 0.0, -7.0, 0.0], 3 / 4, 0.0),  # one of four pixels
        ([5.0, -5.0, 5.0, 5.0], 0.0, np.log(4)),
        ([0.0, 0.0, 0.0, 0.0], 0.0, np.log(4)),
        ([1.0, 1.0, 0.0, 0.0], 1 / 2, np.log(2)),
        ([1.0, 2.0, 3.0, 4.0], 10 / 40, None),  # (-3 - 2 + 3 + 12) / (4 * 10)
    ],
)
def test_both_by_hand(attribution, gini, nats):
    found = both(attribution)
    assert found[0] == pytest.approx(gini, abs=1e-12)
    assert nats is None or found[1] == pytest.approx(nats, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_both_are_quantus_definitions(seed, exponent):
    maps = np.random.default_rng(seed).normal(size=(3, 5, 5)).astype(np.float32)
    scaled = torch.from_numpy(maps * np.float32(10.0**exponent))
    data = complexity_input(attribution=scaled)
    for i, single in enumerate(maps.astype(np.float64)):
        rising = np.sort(np.abs(single).ravel())
        n = len(rising)
        gini = np.sum((2 * np.arange(1, n + 1) - n - 1) * rising) / (n * rising.sum())
        assert float(sparseness(data)[i]) == pytest.approx(gini, abs=1e-6)
        assert float(complexity(data)[i]) == pytest.approx(entropy(rising), abs=1e-6)


def test_the_index_is_the_mean_difference():
    sizes = np.random.default_rng(0).exponential(size=64)
    found = float(sparseness(complexity_input(1, attribution=sizes.reshape(1, 8, 8))))
    differences = np.abs(sizes[:, None] - sizes).mean() / (2 * sizes.mean())
    assert found == pytest.approx(differences, abs=1e-12)
