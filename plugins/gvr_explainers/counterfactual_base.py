"""What all visual rationales share: a moved latent, and what its picture lost on the way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import images_at_once, slices
from gvr_explainers.latent_optimizer import Descent


class Rationale(gvr.Explainer):
    """Moves the latent `z0` of each image to some `z`; the attribution is `g(z0) - g(z)`."""

    role = "counterfactual"

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Optimise as many latents at once as fit in memory."""
        parts = []
        for part in slices(len(x), images_at_once(x, gradients=True)):
            with torch.no_grad():
                start = model.encoder(x[part])
                before = model.generator(start)
            made = self.optimise(model, start, before, target[part], ctx)
            with torch.no_grad():
                after = model.generator(made.latent)
                said = self.ask(model, made.latent, after, target[part])
            parts.append((*made, before, after, *said))
        latent, path, steps, arrived, before, after, *said = map(
            torch.cat, zip(*parts, strict=True)
        )
        found, reason = self.judge(said, arrived, target)
        return gvr.Explanation(
            attribution=(before - after).mean(dim=1),
            counterfactual=after,
            latent=latent,
            trajectory=path,
            steps=steps,
            success=found,
            reason=reason,
        )

    @abstractmethod
    def optimise(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> Descent:
        """Move every latent until it arrives: `start` (N, D), `before` (N, C, H, W) = g(start)."""

    @abstractmethod
    def ask(
        self, model: gvr.Model, latent: Tensor, after: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, ...]:
        """Return what to judge by, per image: `latent` (N, D), `after` (N, C, H, W) = g(latent)."""

    @abstractmethod
    def judge(
        self, said: Sequence[Tensor], arrived: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Return who has a rationale, (N,) bool, and of the others why not; `said` is of `ask`."""
