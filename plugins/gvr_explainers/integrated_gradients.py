"""Integrated gradients (Sundararajan et al. 2017)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.api import CaptumExplainer
from gvr_explainers.batching import max_batch_size

LEVELS = {"black": -1.0, "grey": 0.0}


class IntegratedGradients(CaptumExplainer):
    """Gradient integrated from an empty image to this one, summed over channels.

    A map sums to the output of the image minus the output of the empty image.
    """

    class Settings(gvr.Settings):
        """`baseline` is the empty image."""

        steps: int = Field(50, ge=1, description="points of the Gauss-Legendre quadrature")
        baseline: Literal["black", "grey"] = Field("black", description="the empty image")

    profiles = {"quick": {"steps": 20}}  # the paper: 20 to 300 steps approximate the integral
    attribution = "captum.attr:IntegratedGradients"
    settings: Settings

    @property
    def completeness_baseline(self) -> float:
        """The level of the empty image."""
        return LEVELS[self.settings.baseline]

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the arguments of captum."""
        return {
            "baselines": self.completeness_baseline,
            "n_steps": self.settings.steps,
            "internal_batch_size": self.batch_size(x),
        }

    def batch_size(self, x: Tensor) -> int:
        """Return how many images fit in memory."""
        return max_batch_size(x, gradients=True)
