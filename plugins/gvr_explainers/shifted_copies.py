"""Maps that are averaged over shifted copies of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

import gvr_bench.api as gvr

DIAGONALS = (1, 1), (-1, -1), (1, -1), (-1, 1)  # where the copies of an image are shifted to
MOST = 1 + len(DIAGONALS)


def over_copies(
    explain: Callable[[Tensor, gvr.ExplanationTarget, gvr.Context], gvr.Explanation],
    x: Tensor,
    target: gvr.ExplanationTarget,
    ctx: gvr.Context,
    *,
    views: int,
    by: int,
    after_failure: bool = True,
) -> gvr.Explanation:
    """Explain images (N, C, H, W), and average their maps with those of shifted copies.

    A copy is shifted by pixels along a diagonal, and its map is shifted back. All else is of the
    image itself, and steps are added. Where `by` is 0 the image alone is explained, and unless
    `after_failure` each image whose search fails, too.
    """
    explanation = explain(x, target, ctx)
    attribution, steps, success = explanation.attribution, explanation.steps, explanation.success
    rows = torch.arange(len(x), device=x.device)
    if not after_failure and success is not None:
        rows = rows[success]
    if not by or views == 1 or not len(rows):
        return explanation
    assert steps is not None
    maps, counts = [attribution[rows]], [steps[rows]]
    for view, place in enumerate(DIAGONALS[: views - 1], 1):
        down, right = (by * pixels for pixels in place)
        copies, own = shifted(x[rows], down, right), replace(ctx, seed=ctx.seed + view)
        other = explain(copies, target[rows], own)
        maps.append(shifted(other.attribution[:, None], -down, -right)[:, 0])
        counts.append(other.steps)
    return replace(
        explanation,
        attribution=attribution.index_copy(0, rows, agreement(maps)),
        steps=steps.index_copy(0, rows, torch.stack(counts).sum(0)),
    )


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Shift images (N, C, H, W) by pixels; what comes in repeats the border."""
    _, _, h, w = image.shape
    by = max(abs(down), abs(right))
    padded = F.pad(image, (by,) * 4, mode="replicate")
    return padded[:, :, by - down : by - down + h, by - right : by - right + w]


def agreement(maps: list[Tensor]) -> Tensor:
    """Return the mean m of V maps (N, H, W) times |m| / (|m| + s), s their standard deviation."""
    spread, mean = torch.std_mean(torch.stack(maps), dim=0)
    return mean * mean.abs() / (mean.abs() + spread).clamp_min(1e-12)
