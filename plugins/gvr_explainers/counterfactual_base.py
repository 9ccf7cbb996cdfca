"""The base of explainers that move an image's latent and decode the result."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain

import torch
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.latent_optimizer import SearchResult


class CounterfactualExplainer(gvr.Explainer):
    """Moves the latent `z0` of each image to some `z`; the attribution is `g(z0) - g(z)`."""

    role = "counterfactual"

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Optimise as many latents together as fit in memory."""
        parts, reasons = [], []
        for part in batches(len(x), max_batch_size(x, gradients=True)):
            with torch.no_grad():
                start = model.encoder(x[part])
                before = model.generator(start)
            result = self.search(model, start, before, target[part], ctx)
            with torch.no_grad():
                after = model.generator(result.latent)
                success, reason = self.outcome(model, result, after, target[part])
            attribution = (before - after).mean(dim=1)
            latent, trajectory, steps, _ = result
            parts.append((attribution, after, latent, trajectory, steps, success))
            reasons.append(reason)
        columns = map(torch.cat, zip(*parts, strict=True))
        return gvr.Explanation(*columns, reason=tuple(chain.from_iterable(reasons)))

    @abstractmethod
    def search(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> SearchResult:
        """Move the latents `start` (N, D), which decode to `before` (N, C, H, W)."""

    @abstractmethod
    def outcome(
        self,
        model: gvr.Model,
        result: SearchResult,
        after: Tensor,
        target: gvr.ExplanationTarget,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Return the success of each image, (N,) bool, and the reasons of failures.

        `after` (N, C, H, W) is the decoded result.
        """
