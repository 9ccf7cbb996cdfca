"""What trainings share: the loss of a task, and the papers' augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.core.data_parallel import BatchShard
from gvr_bench.core.types import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
    x: Tensor, shift: int, rng: torch.Generator, share: BatchShard | None = None
) -> Tensor:
    """Move each image by up to `shift` pixels in both directions, repeating the border.

    `x` (N, C, H, W) -> the same shape; the papers' augmentation (8 pixels at 128 x 128). Where `x`
    is a share of a batch, it moves as it does in the batch.
    """
    import torch
    import torch.nn.functional as F

    if shift == 0:
        return x
    n, _, h, w = x.shape
    drawn = torch.randint(0, 2 * shift + 1, (2, share.drawn if share else n, 1), generator=rng)
    dy, dx = (drawn[:, share.rows] if share else drawn).to(x.device)
    padded = F.pad(x, (shift, shift, shift, shift), mode="replicate").permute(0, 2, 3, 1)
    rows = (torch.arange(h, device=x.device) + dy)[:, :, None]  # (N, H, 1)
    columns = (torch.arange(w, device=x.device) + dx)[:, None, :]  # (N, 1, W)
    images = torch.arange(n, device=x.device)[:, None, None]
    return padded[images, rows, columns].permute(0, 3, 1, 2)  # channels_last in memory
