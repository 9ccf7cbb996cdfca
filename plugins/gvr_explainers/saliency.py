"""Vanilla gradient (Simonyan et al. 2013)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr


class Saliency(gvr.Explainer):
    """Gradient of the explained output by the pixels."""

    class Settings(gvr.Settings):
        """The paper drops the sign."""

        absolute: bool = Field(True, description="whether to drop the sign, as in the paper")

    settings: Settings

    @property
    def maps_show_change(self) -> bool:
        """With its sign, a gradient says whether to be brighter or darker."""
        return not self.settings.absolute

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(target.source_output(model(x)).sum(), x)
        if self.settings.absolute:
            return gvr.Explanation(attribution=slope.abs().amax(dim=1))
        return gvr.Explanation(attribution=slope.sum(dim=1))
