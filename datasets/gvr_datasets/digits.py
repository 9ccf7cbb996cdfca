"""Handwritten digits: what MNIST shares with scikit-learn's 1,797, and the latter."""

from __future__ import annotations

import functools
import hashlib
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

import gvr_bench.api as gvr
from gvr_bench.api import resize

_SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
_WHITE = 16


class DigitSettings(gvr.Settings):
    """Edge length in pixels, and the source and target digit of rationales."""

    size: int = Field(default=32, ge=8, le=1024)
    source: int = Field(default=9, ge=0, le=9)
    target: int = Field(default=4, ge=0, le=9)

    @model_validator(mode="after")
    def _two_digits(self) -> Self:
        if self.source == self.target:
            raise ValueError(
                f"source and target are both {self.source}: a rationale goes from one digit to "
                "another, e.g. source=9,target=4"
            )
        return self


class TenDigits(gvr.Dataset):
    """Grey images of ten digits; source and target choose cases and leave the images alone."""

    has_networks = True
    generators = ("wgan-gp", "vae")
    case_settings = frozenset({"source", "target"})
    Settings = DigitSettings
    settings: DigitSettings

    @property
    def task(self) -> gvr.Task:
        """Which of the ten digits it is."""
        return gvr.Task(
            kind="multiclass",
            outputs=tuple(str(digit) for digit in range(10)),
            source=self.settings.source,
            target=self.settings.target,
        )

    @property
    def image(self) -> gvr.ImageSpec:
        """One grey channel."""
        return gvr.ImageSpec(channels=1, size=self.settings.size)


def digit_split(
    positions: NDArray[np.int64],
    stack: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    size: int,
    prefix: str,
) -> gvr.Split:
    """Cut `positions` out of all digits: `stack` (N, H, W) and `labels` (N,).

    Samples are named by `prefix` and position. Writers are not known, so each image is its own
    patient.
    """
    names = np.array([f"{prefix}-{position:05d}" for position in positions], dtype=np.str_)

    def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return resize(stack[positions[index]], size)[:, None]

    return gvr.Split(
        sample_ids=names,
        patient_ids=names,
        targets=labels[positions].astype(np.float32)[:, None],
        images=images,
    )


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

        digits = load_digits()
        stack = np.rint(digits.images * (255 / _WHITE)).astype(np.uint8)  # (1797, 8, 8)
        return stack, digits.target.astype(np.uint8)
