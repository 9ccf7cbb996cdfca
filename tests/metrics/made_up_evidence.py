"""Evidence about explanations, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from gvr_bench.metrics import Evidence
from gvr_bench.types import Task

BINARY = Task("binary", ("mass",))
DIGITS = Task("multiclass", ("4", "7", "9"), source=2, target=0)


def evidence(n: int = 2, size: int = 2, **known: Any) -> Evidence:
    """Evidence in which all is black and nothing is known but what is given."""
    black = np.zeros((n, 1, size, size), np.float32)
    nothing: dict[str, Any] = {
        "task": BINARY,
        "heat": np.zeros((n, size, size), np.float32),
        "image": black,
        "reconstruction": black,
        "seconds": np.zeros(n),
    }
    return Evidence(**{**nothing, **known})


def random_evidence(seed: int, n: int = 12, size: int = 8) -> Evidence:
    """Evidence in which all is known and nothing is related."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (4, n, 1, size, size)).astype(np.float32)
    return evidence(
        n, size,
        heat=rng.normal(0, 10.0 ** rng.integers(-6, 6), (n, size, size)).astype(np.float32),
        image=images[0], reconstruction=images[1], counterfactual=images[2],
        true_change=(images[0] - images[3])[:, 0],
        mask=rng.random((n, size, size)) < rng.random((n, 1, 1)),
        found=rng.random(n) < 0.5, flipped=rng.random(n) < 0.5,
        reencoded_flipped=rng.random(n) < 0.5, stayed=rng.random(n) < 0.5, task=DIGITS,
        steps=rng.integers(0, 500, n), seconds=rng.exponential(1, n),
    )  # fmt: skip
