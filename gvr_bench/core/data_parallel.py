"""Data-parallel training: each process takes rows of every batch, and gradients are summed.

All processes draw the random numbers of the entire batch and use their rows of them. Hence the
number of processes changes a result by rounding only, and all end a step with equal weights.
Importing this module imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gvr_bench.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gvr_bench.core.process_group import ProcessGroup


def are_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def follows() -> bool:
    """Whether torchrun started this process and it is not the first of several."""
    return are_several() and os.environ["RANK"] != "0"


@dataclass(frozen=True)
class BatchShard:
    """The rows of a batch that this process works on; all of them in a run of one process.

    - `rows` (n,) int64: positions among the rows that a step draws.
    - `drawn`: number of rows that a step draws for all processes, in all of its batches.
    - `each`: number of this process's rows in one batch.
    - `weight`: the fraction of a batch that is this process's, its weight in a mean.
    """

    rows: Tensor
    drawn: int
    each: int
    weight: float


def shard_of(group: ProcessGroup | None, batch: int, times: int) -> BatchShard:
    """Return this process's rows of `times` batches. Raises `UsageError` where some get none."""
    import torch

    rank, count = (group.rank, group.count) if group else (0, 1)
    if batch < count:
        raise UsageError(
            f"a batch of {batch} cannot be shared by {count} processes; "
            "start fewer with --nproc-per-node, or set a larger batch"
        )
    first, last = batch * rank // count, batch * (rank + 1) // count
    rows = torch.arange(times)[:, None] * batch + torch.arange(first, last)
    return BatchShard(rows.flatten(), batch * times, last - first, (last - first) / batch)


def backward(
    group: ProcessGroup | None, loss: Tensor, parameters: Iterable[nn.Parameter], shard: BatchShard
) -> Tensor:
    """Give parameters the gradients of the mean loss over the entire batch; return that mean.

    `DistributedDataParallel` hooks into a single backward pass, which a gradient penalty breaks by
    differentiating twice; it also weighs processes equally, whatever rows they have. So gradients
    are summed here, after the backward pass.
    """
    import torch

    if group is None:
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    weighted = loss * shard.weight
    weighted.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    parts = [*(g.flatten() for g in gradients), weighted.detach().flatten()]
    total = group.total(torch.cat(parts))
    *sums, mean = torch.split(total, [part.numel() for part in parts])
    for gradient, summed in zip(gradients, sums, strict=True):
        gradient.copy_(summed.view(gradient.shape))
    return mean[0]


def all_reduce_mean(
    group: ProcessGroup | None, shard: BatchShard, values: Iterable[Tensor]
) -> tuple[Tensor, ...]:
    """Return means over the entire batch, from means over this process's rows."""
    import torch

    means = torch.stack([value.detach() for value in values])
    return tuple(means if group is None else group.total(means * shard.weight))
