"""What the two sets of handwritten digits share: ten classes, one to leave and one to reach."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

import gvr_bench.api as gvr
from gvr_bench.api import resize


class DigitSettings(gvr.Settings):
    """Edge length in pixels, and the digits that a rationale goes from and to."""

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
    """Grey images of ten digits. What is asked, a 9 or another, leaves the images alone."""

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

    Samples are named after their position behind `prefix`. Nobody recorded who wrote which
    digit, so each image is its own patient.
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
