"""The loss of a task, and the augmentation of the papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.core.types import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gvr_bench.core.data_parallel import BatchShard


def task_loss(outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the mean loss of outputs (N, K) against scaled targets (N, columns).

    Squared error for regression, cross-entropy otherwise.
    """
    import torch.nn.functional as F

    if task.kind == "multiclass":
        return F.cross_entropy(outputs, targets[:, 0].long())
    if task.kind == "regression":
        return F.mse_loss(outputs, targets)
    return F.binary_cross_entropy_with_logits(outputs, targets)


def translate(
    x: Tensor, shift: int, rng: torch.Generator, shard: BatchShard | None = None
) -> Tensor:
    """Move each image by up to `shift` pixels in both directions, repeating the border.

    `x` (N, C, H, W) -> the same shape, channels last in memory. Where `x` is the `shard` of a
    batch, its images move as they do in the batch. Source: generative visual rationales (2018),
    with 8 pixels at 128 x 128.
    """
    import torch
    import torch.nn.functional as F

    if shift == 0:
        return x
    n, _, h, w = x.shape
    shifts = torch.randint(0, 2 * shift + 1, (2, shard.drawn if shard else n, 1), generator=rng)
    dy, dx = (shifts[:, shard.rows] if shard else shifts).to(x.device)
    padded = F.pad(x, (shift, shift, shift, shift), mode="replicate").permute(0, 2, 3, 1)
    rows = (torch.arange(h, device=x.device) + dy)[:, :, None]  # (N, H, 1)
    columns = (torch.arange(w, device=x.device) + dx)[:, None, :]  # (N, 1, W)
    images = torch.arange(n, device=x.device)[:, None, None]
    return padded[images, rows, columns].permute(0, 3, 1, 2)
