"""RISE (Petsiuk et al. 2018): the output for randomly masked images, by what they show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size, predict_variants


class Rise(gvr.Explainer):
    """Mean output over masks that show a pixel, minus the mean output over all masks.

    The paper's map is the first term; the second is the same for all pixels and gives the map a
    sign. All images get the same masks.
    """

    costly = True

    class Settings(gvr.Settings):
        """Masks as in the paper: a coarse random grid, upsampled and shifted."""

        samples: int = Field(4000, ge=2, description="masks")
        cells: int = Field(7, ge=1, description="of the grid, along each side")
        shown: float = Field(0.5, gt=0, lt=1, description="probability that a cell is shown")
        replacement: float = Field(
            0.0, ge=-1, le=1, description="of what is hidden: -1 black, 0 grey, 1 white"
        )

    profiles = {"quick": {"samples": 500}, "standard": {"samples": 2000}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Draw masks and predict the images behind them, as many at a time as fit in memory."""
        s, (n, _, h, w) = self.settings, x.shape
        shown, weighted = x.new_zeros(1, h * w), x.new_zeros(n, h * w)
        total = x.new_zeros(n, 1)
        for part in batches(s.samples, max_batch_size(x[:, :1])):
            masks = torch.cat([self.mask(h, w, ctx.rng(i)) for i in range(part.start, part.stop)])
            masks = masks.to(x.device)  # (B, 1, H, W)

            def hide(image: Tensor, mask: Tensor, masks: Tensor = masks) -> Tensor:
                return s.replacement + (x[image] - s.replacement) * masks[mask]

            outputs = predict_variants(model, x, target, len(masks), hide)  # (N, B)
            flat = masks.flatten(1)
            shown += flat.sum(0)
            weighted += outputs @ flat
            total += outputs.sum(1, keepdim=True)
        means = weighted / shown.clamp_min(1e-6) - total / s.samples
        return gvr.Explanation(attribution=means.view(n, h, w))

    def mask(self, h: int, w: int, rng: torch.Generator) -> Tensor:
        """Draw one mask: (1, 1, H, W) in [0, 1]."""
        s = self.settings
        cell = [-(-side // s.cells) for side in (h, w)]  # pixels, rounded up
        grid = (torch.rand(1, 1, s.cells, s.cells, generator=rng) < s.shown).float()
        size = [(s.cells + 1) * pixels for pixels in cell]
        large = F.interpolate(grid, size, mode="bilinear", align_corners=False)
        top, left = (int(torch.randint(pixels, (), generator=rng)) for pixels in cell)
        return large[..., top : top + h, left : left + w]
