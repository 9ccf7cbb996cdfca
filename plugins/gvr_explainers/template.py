"""A control: the same map for every image."""

from __future__ import annotations

import torch
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.sides import sides_of


class Template(gvr.Explainer):
    """Mean of the training images with the finding minus the mean of those without.

    For classes, of the source class minus the target class. It looks at neither the image nor the
    model. What it reaches against the ground truth is how much of the truth is common to all cases:
    a disease that always lies in the same place needs no explanation to be found.
    """

    role = "control"
    uses_reference = True
    maps_show_change = True

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Average the images of both sides by label.

        Raises `Unsupported` where one side has none.
        """
        sides, pair = sides_of(ctx.reference, target)
        maps = [mean(ctx.reference, s.source, x) - mean(ctx.reference, s.target, x) for s in sides]
        return gvr.Explanation(attribution=torch.stack(maps)[pair])


def mean(reference: gvr.Reference, index: Tensor, like: Tensor) -> Tensor:
    """Average training images over positions (n,) and channels: (H, W)."""
    total = torch.zeros(like.shape[2:], dtype=torch.float64, device=like.device)
    for part in batches(len(index), max_batch_size(like)):
        total += reference.images(index[part]).mean(dim=1).double().sum(dim=0)
    return (total / len(index)).float()
