"""Heat that falls off from the middle: where findings often are, whatever the image shows."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr


class Centre(gvr.Explainer):
    """A Gaussian in the middle of the image."""

    class Settings(gvr.Settings):
        """`width` is its standard deviation, of the size."""

        width: float = Field(0.25, gt=0)

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, query: gvr.Query, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Draw the same map for every image."""
        n, _, h, w = x.shape
        rows = torch.linspace(-0.5, 0.5, h, device=x.device)[:, None]
        columns = torch.linspace(-0.5, 0.5, w, device=x.device)
        distance = (rows**2 + columns**2) / self.settings.width**2  # (H, W)
        return gvr.Explanation(heat=torch.exp(-distance / 2).expand(n, h, w))
