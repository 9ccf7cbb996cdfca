"""A control: one direction in latent space for all images."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.counterfactual_base import CounterfactualSettings, Start, picture
from gvr_explainers.sides import sides_of


class ClassShift(gvr.Explainer):
    """Moves the latent from class mean to class mean, just as far as flips the model.

    `z + t d` with the smallest `t` that changes the prediction; `d` is the mean latent of training
    images without the finding minus that of those with it (for classes, of the target class minus
    the source class), the same for all images. A search in latent space has to do better than that.
    """

    role = "control"
    makes_counterfactuals = True
    needs_decoder = True
    uses_reference = True

    class Settings(CounterfactualSettings):
        """`t` = 1 moves an image as far as the means are apart."""

        limit: float = Field(4.0, gt=0, description="largest t")
        steps: int = Field(16, ge=1, description="values of t tried before the bisection")
        bisections: int = Field(10, ge=0, description="times the first step that flips is halved")

    settings: Settings

    @torch.no_grad()
    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Search all `t` of a batch together; an image that never flips stays as it is.

        Raises `Unsupported` where no training image is labelled on one of the sides.
        """
        sides, pair = sides_of(ctx.reference, target)
        latents = ctx.reference.latents
        shifts = [latents[s.target].mean(dim=0) - latents[s.source].mean(dim=0) for s in sides]
        shift = torch.stack(shifts)[pair]  # (N, D)
        parts = []
        for part in batches(len(x), max_batch_size(x)):
            start = Start.of(model, x[part])
            t, success = self.search(model, start.latent, shift[part], target[part])
            z = start.latent + t[:, None] * shift[part]
            decoded = model.generator(z)
            image = picture(start, decoded, self.settings.residual)
            parts.append(((start.decoded - decoded).mean(dim=1), image, z, success))
        attribution, image, z, success = map(torch.cat, zip(*parts, strict=True))
        failure = f"no t up to {self.settings.limit:g} changes the prediction"
        reason = tuple("" if good else failure for good in success.tolist())
        return gvr.Explanation(
            attribution,
            image,
            z,
            success=success,
            reason=reason,
            residual=self.settings.residual,
        )

    def search(
        self, model: gvr.Model, start: Tensor, shift: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, Tensor]:
        """Return the smallest t (N,), 0 where none flips, and whether one does.

        The smallest of evenly spaced values that flips is halved towards the one before it.
        """
        s = self.settings

        def flips(t: Tensor) -> Tensor:
            return target.reached_target(model.head(start + t[:, None] * shift))

        tried = torch.linspace(0, s.limit, s.steps + 1, device=start.device)
        flipped = torch.stack([flips(t.expand(len(start))) for t in tried])  # (T, N)
        success, first = flipped.any(dim=0), flipped.int().argmax(dim=0)
        low, high = tried[(first - 1).clamp_min(0)], tried[first]
        for _ in range(s.bisections):
            middle = (low + high) / 2
            reached = flips(middle)
            low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
        return torch.where(success, high, 0.0), success
