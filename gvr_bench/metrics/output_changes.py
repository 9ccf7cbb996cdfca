"""How far the outputs and features of a model move from images to their counterfactuals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget

BLOCK = 1024  # counterfactuals that are compared with all images at once, to bound memory


def others_changed(target: ExplanationTarget, before: Tensor, after: Tensor) -> Tensor | None:
    """Divergence of the outputs that are not explained: outputs (N, K) twice -> (N,).

    Among classes it is of the distribution over those that are neither source nor target; among
    findings the mean over the others. None where there are none, and for values without
    probabilities.
    """
    import torch

    task, k = target.task, before.shape[1]
    if task.kind not in ("multiclass", "multilabel"):
        return None
    other = torch.ones_like(before, dtype=torch.bool)
    other.scatter_(1, target.source_class[:, None], False)
    other.scatter_(1, target.target_class[:, None], False)
    if task.kind == "multiclass":
        if k < 4:  # one other class has all of what is left
            return None
        p, q = (x.double().masked_fill(~other, -torch.inf).softmax(1) for x in (before, after))
        return jensen_shannon(p, q)
    yes, no = ((x.double().sigmoid(), (-x.double()).sigmoid()) for x in (before, after))
    each = jensen_shannon(torch.stack(yes, -1), torch.stack(no, -1))  # (N, K)
    return (each * other).sum(1) / other.sum(1) if k > 1 else None


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence in bits of distributions (..., K): (...,) in [0, 1]."""
    import torch

    def entropy(of: Tensor) -> Tensor:
        bits: Tensor = torch.special.entr(of).sum(-1) / math.log(2)
        return bits

    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).clamp(0, 1)  # rounding


def nearest_is_own(counterfactual: Tensor, real: Tensor, patients: Tensor) -> Tensor:
    """Share of the nearest features that are of the same patient: (M, F) twice, (M,) -> (M,).

    There is one nearest, unless several are equally near.
    """
    import torch

    shares = []
    for rows in torch.split(torch.arange(len(counterfactual), device=counterfactual.device), BLOCK):
        # By differences: |a|^2 - 2 a b + |b|^2 would round small distances away.
        distance = torch.cdist(
            counterfactual[rows].double(),
            real.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        nearest = distance == distance.amin(1, keepdim=True)
        own = nearest & (patients[rows, None] == patients)
        shares.append(own.sum(1) / nearest.sum(1).double())
    return torch.cat(shares)
