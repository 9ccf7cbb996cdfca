"""A control: somebody else's image."""

from __future__ import annotations

import torch
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size

MAX_CELLS = 2**22  # pairs of images times outputs compared together, to bound memory
NONE = "the model puts no training image on the target side"
LOST = "the decoded training image does not reach the target"


class NearestUnlike(gvr.Explainer):
    """Decodes the nearest training image, by latent, that the model puts on the target side.

    A nearest unlike neighbour is realistic, convinces the oracle and has changed the prediction,
    but it is another patient: what differs says little about this image. An explainer has to come
    closer or be more specific. Training images are those of `ctx.reference`.
    """

    role = "control"
    makes_counterfactuals = True
    needs_decoder = True
    uses_reference = True

    @torch.no_grad()
    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Look up the neighbours; an image without one stays as it is."""
        latents, outputs = ctx.reference.latents, ctx.reference.outputs
        size = max(1, min(max_batch_size(x), MAX_CELLS // outputs.numel()))
        parts = []
        for part in batches(len(x), size):
            start = model.encoder(x[part])
            index = nearest(start, latents, outputs, target[part])
            z = torch.where(index[:, None] < 0, start, latents[index])
            image = model.generator(z)
            attribution = (model.generator(start) - image).mean(dim=1)
            success = (index >= 0) & target[part].reached_target(model.head(z))
            parts.append((attribution, image, z, index >= 0, success))
        attribution, image, z, known, success = map(torch.cat, zip(*parts, strict=True))
        reason = tuple(
            "" if good else LOST if has else NONE
            for good, has in zip(success.tolist(), known.tolist(), strict=True)
        )
        return gvr.Explanation(attribution, image, z, success=success, reason=reason)


def nearest(z: Tensor, latents: Tensor, outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return for latents (N, D) the nearest of (M, D) whose outputs (M, K) reach the target: (N,).

    -1 where none does.
    """
    n, m = len(z), len(latents)
    each = torch.arange(n, device=z.device).repeat_interleave(m)
    reached = target[each].reached_target(outputs.repeat(n, 1)).view(n, m)
    # Products of matrices would round differently in batches of another size.
    distance = torch.cdist(z, latents, compute_mode="donot_use_mm_for_euclid_dist")
    closest, index = distance.masked_fill(~reached, torch.inf).min(dim=1)
    return torch.where(closest.isfinite(), index, -1)
