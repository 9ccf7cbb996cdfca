"""Integrated gradients (Sundararajan et al. 2017)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

import gvr_bench.api as gvr
from gvr_explainers.chunks import images_at_once, slices

LEVELS = {"black": -1.0, "grey": 0.0}


class IntegratedGradients(gvr.Explainer):
    """Gradient along the way from an empty image, times the way: signed, summed over channels.

    A map sums to the output for the image minus the output for the empty image.
    """

    class Settings(gvr.Settings):
        """`baseline` is the empty image."""

        steps: int = Field(50, ge=1, description="points of the Gauss-Legendre quadrature")
        baseline: Literal["black", "grey"] = "black"

    settings: Settings

    def explain(
        self, model: gvr.Model, x: torch.Tensor, query: gvr.Query, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Integrate numerically, several steps of several images at once."""
        from captum import attr  # here, for it is slow to import and a plan needs only the class

        captum = attr.IntegratedGradients(model)
        limit = images_at_once(x, gradients=True)
        parts = [
            captum.attribute(
                x[part],
                baselines=LEVELS[self.settings.baseline],
                target=query.source[part],
                n_steps=self.settings.steps,
                internal_batch_size=limit,
            )
            for part in slices(len(x), limit)
        ]
        return gvr.Explanation(heat=torch.cat(parts).sum(dim=1))
