"""Integrated gradients (Sundararajan et al. 2017)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.api import CaptumExplainer
from gvr_explainers.batching import images_at_once

LEVELS = {"black": -1.0, "grey": 0.0}


class IntegratedGradients(CaptumExplainer):
    """Gradient along the way from an empty image, times the way: signed, summed over channels.

    A map sums to the output for the image minus the output for the empty image.
    """

    class Settings(gvr.Settings):
        """`baseline` is the empty image."""

        steps: int = Field(50, ge=1, description="points of the Gauss-Legendre quadrature")
        baseline: Literal["black", "grey"] = "black"

    attribution = "captum.attr:IntegratedGradients"
    settings: Settings

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Integrate numerically, as many steps of several images at once as fit in memory."""
        return {
            "baselines": LEVELS[self.settings.baseline],
            "n_steps": self.settings.steps,
            "internal_batch_size": self.batch_size(x),
        }

    def batch_size(self, x: Tensor) -> int:
        """Return how many images may be seen at once."""
        return images_at_once(x, gradients=True)
