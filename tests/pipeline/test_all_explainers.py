"""`run --explainer all`: how many there are, and none is another's double."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import h5py
import numpy as np
import pytest
from tiny import plan_of

from gvr_bench.registry.registry import installed


def test_all_spans_the_roles() -> None:
    planned = plan_of(installed(), explainer="all").combinations[0].explanations
    roles = Counter(stage.role for stage in planned.values())
    assert roles["attribution"] >= 16
    assert roles["counterfactual"] >= 9
    assert roles["control"] == 7


@pytest.mark.slow
def test_no_two_rows_are_duplicates(cli) -> None:
    """On the shipped model of the phantom: the mean correlation of any two explainers' maps."""
    fixed = ["--metrics", "cost", "--max-cases", "8", "--device", "cpu"]
    assert cli("run", "--explainer", "all", *fixed, "--out", "run").code == 0
    unit = {}
    with h5py.File("run/cases.h5") as file:
        for name, group in file["0/explainers"].items():
            if "attribution" in group:
                maps = group["attribution"][:].astype(np.float64)
                maps -= maps.mean((1, 2), keepdims=True)
                unit[name] = maps / np.linalg.norm(maps, axis=(1, 2), keepdims=True).clip(1e-12)
    assert len(unit) > 35
    correlations = {
        (a, b): (unit[a] * unit[b]).sum((1, 2)).mean() for a, b in combinations(unit, 2)
    }
    pair = max(correlations, key=correlations.__getitem__)
    assert correlations[pair] < 0.999, pair
