"""How a training is shared by processes: each takes rows of every batch, and gradients are summed.

All draw the numbers of the whole batch and keep their rows of them, so that the same batches are
seen however many processes there are, and all end a step with the same weights.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gvr_bench.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


def are_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def follows() -> bool:
    """Whether this process is another than the first of several."""
    return are_several() and os.environ["RANK"] != "0"


@dataclass(frozen=True)
class BatchShard:
    """The rows of a batch that this process works on; all of them where it is alone.

    `rows` (N,) int64 are positions among the `drawn` rows of a step. Where a step takes several
    batches, `each` rows belong to one of them. `weight` is this process's part in a mean.
    """

    rows: Tensor
    drawn: int
    each: int
    weight: float


class Processes(Protocol):
    """The processes that train a network together, this one being number `rank` of `count`."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def training(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Train the stage of that key together with the others."""

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes; can be differentiated."""

    def agree(self, step: int) -> bool:
        """Wait for the others at a step, and say whether one was asked to stop after it."""


def shard_of(processes: Processes | None, batch: int, times: int) -> BatchShard:
    """Return this process's rows of `times` batches. Raises `UsageError` where some get none."""
    import torch

    rank, count = (processes.rank, processes.count) if processes else (0, 1)
    if batch < count:
        raise UsageError(
            f"a batch of {batch} cannot be shared by {count} processes; "
            "start fewer with --nproc-per-node, or set a larger batch"
        )
    first, last = batch * rank // count, batch * (rank + 1) // count
    rows = torch.arange(times)[:, None] * batch + torch.arange(first, last)
    return BatchShard(rows.flatten(), batch * times, last - first, (last - first) / batch)


def backward(
    processes: Processes | None, loss: Tensor, parameters: Iterable[nn.Parameter], share: BatchShard
) -> Tensor:
    """Give parameters the gradients of the mean loss over the whole batch; return that mean.

    The loss of a batch is the weighted sum of those of its parts, and so is its gradient, however
    often the network was differentiated to get there.
    """
    import torch

    if processes is None:
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    weighted = loss * share.weight
    weighted.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    parts = [*(g.flatten() for g in gradients), weighted.detach().flatten()]
    total = processes.total(torch.cat(parts))
    *summed, mean = torch.split(total, [part.numel() for part in parts])
    for gradient, whole in zip(gradients, summed, strict=True):
        gradient.copy_(whole.view(gradient.shape))
    return mean[0]


def mean(
    processes: Processes | None, share: BatchShard, values: Iterable[Tensor]
) -> tuple[Tensor, ...]:
    """Return means over the whole batch of what are means over this process's part of it."""
    import torch

    found = torch.stack([value.detach() for value in values])
    return tuple(found if processes is None else processes.total(found * share.weight))
