"""Random numbers with random access: a value depends on its key and its name alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.floating]  # float32 throughout
Keys = NDArray[np.uint64]

# Steele, Lea and Flood 2014: the increment and the finaliser of SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

# Normal values are cut at this many standard deviations: no anatomy is impossible.
REACH = 2.2


def mix(keys: Keys) -> Keys:
    """Scramble 64-bit keys (any shape) so that neighbouring keys are uncorrelated."""
    keys = (keys ^ (keys >> np.uint64(30))) * _FIRST
    keys = (keys ^ (keys >> np.uint64(27))) * _SECOND
    return keys ^ (keys >> np.uint64(31))


def derive(keys: Keys, number: NDArray[np.int64] | int) -> Keys:
    """The key of child `number` of each key; shapes broadcast."""
    child = np.asarray(number).astype(np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        return mix(mix(keys) + child * _STEP)


@dataclass(frozen=True)
class Draws:
    """Random draws for images or patients with these `keys` (n,)."""

    keys: Keys

    def uniform(self, name: str, count: int = 1) -> Floats:
        """(n, count) float32, uniform in the open interval (0, 1)."""
        streams = np.arange(count, dtype=np.int64) + (zlib.crc32(name.encode()) << 8)
        bits = derive(self.keys[:, None], streams[None, :]) >> np.uint64(41)
        return (bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)

    def normal(self, name: str, count: int = 1) -> Floats:
        """(n, count) float32, standard normal, cut at `REACH`."""
        values: Floats = ndtri(self.uniform(name, count)).astype(np.float32)
        return np.clip(values, -REACH, REACH)

    def between(self, name: str, low: float, high: float, count: int = 1) -> Floats:
        """(n, count) float32, uniform between `low` and `high`."""
        return low + np.float32(high - low) * self.uniform(name, count)

    def table(self, name: str, rows: Mapping[str, tuple[float, float]]) -> dict[str, Floats]:
        """One normal value per row of (mean, standard deviation), each (n, 1, 1)."""
        mean, deviation = np.array(list(rows.values()), dtype=np.float32).T
        values = mean + deviation * self.normal(name, len(rows))  # (n, rows)
        return {row: values[:, i, None, None] for i, row in enumerate(rows)}
