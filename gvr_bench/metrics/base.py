"""What a metric is, what it sees, and how one value per image becomes a score with an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.types import Task

Values = NDArray[np.float64]
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Evidence:
    """All that a metric may look at, for N cases; None where it is not known or not made.

    - `heat` (N, H, W) signed; `counterfactual`, `reconstruction`, `image` (N, C, H, W) in [-1, 1].
    - `found` (N,) bool; `steps` (N,).
    - `flipped`, `reencoded_flipped` (N,) bool: whether the head is on the target side at the
      latent that was found, and at the encoded counterfactual image; `stayed` (N,) bool: whether
      it still predicts at that latent what it did.
    - `mask` (N, H, W) bool, `true_change` (N, H, W): input minus true counterfactual.
    - `seconds` (N,): wall time per image at the batch size used.
    """

    task: Task
    heat: NDArray[np.float32]
    image: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    seconds: Values
    counterfactual: NDArray[np.float32] | None = None
    found: NDArray[np.bool_] | None = None
    steps: NDArray[np.int64] | None = None
    flipped: NDArray[np.bool_] | None = None
    reencoded_flipped: NDArray[np.bool_] | None = None
    stayed: NDArray[np.bool_] | None = None
    mask: NDArray[np.bool_] | None = None
    true_change: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.heat)


@dataclass(frozen=True)
class Metric:
    """A metric of the scoreboard.

    `function(evidence)` returns one value per image, NaN where it does not apply to that image,
    or None where it does not apply to the explainer or data at all; then `needs` says why.
    `better` is `up` or `down`; values lie in [`lowest`, `highest`]. Bump `version` when the
    definition changes.
    """

    name: str
    group: str
    better: str
    lowest: float
    highest: float
    definition: str
    source: str
    needs: str
    function: Callable[[Evidence], NDArray[Any] | None]
    version: str = "1"


@dataclass(frozen=True)
class Score:
    """A mean over n images with its 95 % bootstrap interval; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def score(values: NDArray[Any]) -> Score:
    """Average one value per image, leaving out NaN, with a percentile bootstrap over images."""
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    if n == 0:
        return Score(None, None, None, 0)
    draws = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    low, high = np.quantile(kept[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(float(kept.mean()), float(low), float(high), n)
