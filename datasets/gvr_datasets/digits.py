"""The 1,797 handwritten digits of 8 x 8 that come with scikit-learn; nothing is downloaded."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import gvr_bench.api as gvr
from gvr_datasets.digit_task import DigitSettings, TenDigits, digit_split

_SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
_WHITE = 16


class Digits(TenDigits):
    """scikit-learn's digits, enlarged smoothly and split 7:1:2 within each class."""

    class Settings(DigitSettings):
        """`seed` decides which images are in which split."""

        seed: int = Field(default=0, ge=0)

    settings: Settings

    def fingerprint(self) -> str:
        """Digest of all pixels and labels."""
        digest = hashlib.sha256()
        for array in self._all:
            digest.update(array.tobytes())
        return digest.hexdigest()

    def split(self, name: str) -> gvr.Split:
        """Cut the share of that split out of each class."""
        stack, labels = self._all
        first, last = _SHARES[name]
        rng = np.random.default_rng(self.settings.seed)
        chosen = []
        for digit in range(10):
            members = rng.permutation(np.flatnonzero(labels == digit))
            n = len(members)
            chosen.append(members[round(first * n) : round(last * n)])
        return digit_split(
            np.sort(np.concatenate(chosen)), stack, labels, self.settings.size, "digit"
        )

    @functools.cached_property
    def _all(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        from sklearn.datasets import load_digits

        found = load_digits()
        stack = np.rint(found.images * (255 / _WHITE)).astype(np.uint8)  # (1797, 8, 8)
        return stack, found.target.astype(np.uint8)
