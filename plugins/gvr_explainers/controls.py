"""Controls without training images: maps that ignore the model."""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor

import gvr_bench.api as gvr


class Random(gvr.Explainer):
    """Normal noise, drawn from the seed and the image."""

    role = "control"

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Draw one map per image, the same in any batch."""
        n, _, h, w = x.shape
        attribution = torch.empty(n, h, w)
        for row, image in zip(attribution, x.cpu(), strict=True):
            pixels = zlib.crc32(image.contiguous().numpy().tobytes())
            row.normal_(generator=ctx.rng(pixels))
        return gvr.Explanation(attribution=attribution.to(x.device))


class Edge(gvr.Explainer):
    """Sobel magnitude of the input."""

    role = "control"

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Filter the channel mean, repeating the border."""
        sobel = x.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        kernels = torch.stack([sobel, sobel.T])[:, None]  # (2, 1, 3, 3)
        grey = F.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        return gvr.Explanation(attribution=F.conv2d(grey, kernels).norm(dim=1))


class Intensity(gvr.Explainer):
    """The input itself: 0 where it is black, 1 where it is white."""

    role = "control"

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Return the brightness."""
        return gvr.Explanation(attribution=(x.mean(dim=1) + 1) / 2)
