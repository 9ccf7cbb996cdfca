"""The base of explainers that move an image's latent and decode the result."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.latent_optimizer import SearchResult


class Start(NamedTuple):
    """Where a search begins: images (N, C, H, W), their latents (N, D), and these decoded."""

    image: Tensor
    latent: Tensor
    decoded: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, model: gvr.Model, x: Tensor) -> Start:
        """Encode and decode images (N, C, H, W)."""
        latent = model.encoder(x)
        return cls(x, latent, model.generator(latent))

    def at(self, positions: Tensor) -> Start:
        """Return it for some of the images."""
        return Start(*(part[positions] for part in self))


class CounterfactualSettings(gvr.Settings):
    """Settings of every explainer that moves a latent."""

    residual: bool = Field(
        False,
        description="return the image plus what the decoder changes, clip(x + G(z') - G(z)), "
        "instead of the decoded G(z')",
    )


def picture(start: Start, decoded: Tensor, residual: bool) -> Tensor:
    """Return the counterfactuals (N, C, H, W) of decoded latents."""
    return gvr.compose(start.image, start.decoded, decoded) if residual else decoded


class CounterfactualExplainer(gvr.Explainer):
    """Moves the latent `z0` of each image to some `z`; the attribution is `g(z0) - g(z)`."""

    role = "counterfactual"
    settings: CounterfactualSettings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Optimise as many latents together as fit in memory."""
        parts, reasons = [], []
        for part in batches(len(x), max_batch_size(x, gradients=True)):
            start = Start.of(model, x[part])
            result = self.search(model, start, target[part], ctx)
            with torch.no_grad():
                decoded = model.generator(result.latent)
                after = picture(start, decoded, self.settings.residual)
                success, reason = self.outcome(model, result, after, target[part])
            attribution = (start.decoded - decoded).mean(dim=1)
            latent, trajectory, steps, _ = result
            parts.append((attribution, after, latent, trajectory, steps, success))
            reasons.append(reason)
        columns = map(torch.cat, zip(*parts, strict=True))
        return gvr.Explanation(
            *columns,
            reason=tuple(chain.from_iterable(reasons)),
            residual=self.settings.residual,
        )

    @abstractmethod
    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Move the latents of `start`."""

    @abstractmethod
    def outcome(
        self,
        model: gvr.Model,
        result: SearchResult,
        after: Tensor,
        target: gvr.ExplanationTarget,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Return the success of each image, (N,) bool, and the reasons of failures.

        `after` (N, C, H, W) are the counterfactuals.
        """
