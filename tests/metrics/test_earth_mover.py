from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from gvr_bench.metrics.earth_mover import curve, transport_cost


def exact_cost(a: np.ndarray, b: np.ndarray) -> float:
    """The cost by linear programming, between the pixels themselves."""
    a, b = 1000 * a.ravel() / a.sum(), 1000 * b.ravel() / b.sum()  # well above the tolerance
    points = np.argwhere(np.ones((8, 8)))
    sums = np.concatenate([np.kron(np.eye(64), np.ones(64)), np.kron(np.ones(64), np.eye(64))])
    flow = linprog(cdist(points, points).ravel(), A_eq=sums[:-1], b_eq=np.concatenate([a, b])[:-1])
    return float(flow.fun) / 1000


@pytest.mark.parametrize("kind", ["noise", "blob", "dots"])
def test_the_cost_matches_linear_programming(kind):
    rng = np.random.default_rng(0)
    rows, columns = np.indices((8, 8))
    for _ in range(3):
        y, x = rng.uniform(0, 8, 2)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
        dots = rng.random((8, 8)) < 0.05
        dots[0, 0] = True
        a = {"noise": rng.random((8, 8)), "blob": blob, "dots": dots.astype(float)}[kind]
        b = (rng.random((8, 8)) < 0.2).astype(float)
        diagonal = 7 * 2**0.5
        assert transport_cost(a, b) / diagonal == pytest.approx(
            exact_cost(a, b) / diagonal, abs=0.005
        )


def test_one_pixel_costs_its_distance():
    a, b = np.zeros((2, 28, 28))
    a[3, 4] = 5.0
    b[27, 11] = 0.1
    assert transport_cost(a, b) == pytest.approx(25.0)
    assert transport_cost(b, a) == pytest.approx(25.0)


def test_mass_travels_to_the_nearest():
    a, b = np.zeros((2, 32, 32))
    a[0, 0] = a[31, 31] = a[0, 31] = a[31, 0] = 1.0
    b[0, 3] = b[31, 28] = b[0, 28] = b[31, 3] = 2.0
    assert transport_cost(a, b) == pytest.approx(3.0)


def test_shared_mass_does_not_travel():
    a = np.random.default_rng(0).random((16, 16))
    assert transport_cost(a, 7 * a) == 0.0
    shared = np.zeros((4, 4))
    shared[0, 0] = shared[0, 1] = shared[0, 2] = shared[0, 3] = 1.0
    moved = shared.copy()
    moved[0, 0], moved[3, 0] = 0.0, 1.0
    assert transport_cost(shared, moved) == pytest.approx(3 / 4)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_cost_has_known_bounds(seed):
    a, b = np.random.default_rng(seed).random((2, 9, 9)) ** 8
    centres = [np.argwhere(np.ones((9, 9))).T @ m.ravel() / m.sum() for m in (a, b)]
    cost = transport_cost(a, b)
    assert np.linalg.norm(centres[0] - centres[1]) - 1e-9 <= cost <= 8 * 2**0.5


@pytest.mark.parametrize("size", [2, 8, 32])
def test_the_curve_visits_neighbours(size):
    assert (np.abs(np.diff(curve(size, size), axis=0)).sum(axis=1) == 1).all()


@pytest.mark.parametrize(("h", "w"), [(1, 1), (28, 28), (5, 3)])
def test_the_curve_visits_every_pixel_once(h, w):
    assert sorted(map(tuple, curve(h, w))) == list(np.ndindex(h, w))
