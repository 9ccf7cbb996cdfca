"""PatternLocal (Gjølbye et al. 2025; Haufe et al. 2014): what varies with the model's output."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size


class Pattern(gvr.Explainer):
    """How each pixel varies with the locally linear output, over the nearest training images.

    The covariance of those images times the gradient. A gradient also weighs pixels that only
    cancel noise, so-called suppressors; these vary with nothing and get no attribution here. The
    paper multiplies weights of LIME; the scale of a map means nothing.
    """

    uses_reference = True
    maps_show_change = True

    class Settings(gvr.Settings):
        """As in the authors' code: the nearest tenth, by a kernel as wide as their median."""

        neighbours: float = Field(
            0.1, gt=0, le=1, description="share of the reference's images that are nearest"
        )

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Weigh training images by their distance, and multiply their covariance by the gradient.

        Raises `Unsupported` for fewer than two training images.
        """
        if len(ctx.reference) < 2:
            raise gvr.Unsupported("the covariance needs two training images or more")
        flat, slopes = x.flatten(1), gradients(model, x, target).flatten(1)  # (N, P)
        positions = list(ctx.reference.batches())
        weights = self.weights(
            torch.cat([torch.cdist(flat, ctx.reference.images(i).flatten(1)) for i in positions], 1)
        )  # (N, M)
        start = (flat * slopes).sum(1, keepdim=True)
        products, means = torch.zeros_like(flat), torch.zeros_like(flat)
        for index in positions:
            images = ctx.reference.images(index).flatten(1)
            share = weights[:, index.to(weights.device)]  # (N, B)
            scores = slopes @ images.T - start
            products += (share * scores) @ images
            means += share @ images
        mean_score = (means * slopes).sum(1, keepdim=True) - start
        covariance = products - means * mean_score
        return gvr.Explanation(attribution=covariance.view(x.shape).sum(dim=1))

    def weights(self, distances: Tensor) -> Tensor:
        """Weigh images by a normal kernel of their distances (N, M); rows sum to 1."""
        count = max(2, round(self.settings.neighbours * distances.shape[1]))
        near, index = distances.topk(count, largest=False)
        width = near.median(dim=1, keepdim=True).values.clamp_min(1e-6)
        kernel = torch.exp(-(near / width).square() / 2)
        shares = kernel / kernel.sum(1, keepdim=True)
        return torch.zeros_like(distances).scatter(1, index, shares)


def gradients(model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return the gradient of the source output by the pixels: (N, C, H, W)."""
    parts: list[Tensor] = []
    for part in batches(len(x), max_batch_size(x, gradients=True)):
        images = x[part].detach().clone().requires_grad_()
        with torch.enable_grad():
            outputs = target[part].source_output(model(images))
        parts += torch.autograd.grad(outputs.sum(), images)
    return torch.cat(parts)
