"""Parts of a training: its steps, which can be resumed; the loss of a task; the augmentation.

`gvr_bench.cache.checkpoints` has the files that a training is resumed from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from gvr_bench.core.types import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gvr_bench.core.data_parallel import BatchShard
    from gvr_bench.core.process_group import ProcessGroup


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimisers, schedulers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


class Checkpoints(Protocol):
    """Where a training loop saves its state: step, state and history of losses."""

    def due(self) -> bool: ...

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None: ...

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None: ...

    def looping(self) -> contextlib.AbstractContextManager[None]: ...


def resumable_steps(
    total: int,
    state: Mapping[str, Stateful],
    history: list[dict[str, float]],
    begin: Callable[[int], None],
    checkpoints: Checkpoints | None,
    processes: ProcessGroup | None,
) -> Iterator[int]:
    """Yield the steps up to `total` from the last checkpoint on, after a call of `begin`.

    `state` and `history` are set to those of the checkpoint. Of several processes only the first
    saves.
    """
    first = 0
    checkpoint = checkpoints.load() if checkpoints else None
    if checkpoint is not None:
        first, saved, history[:] = checkpoint
        for name, part in state.items():
            part.load_state_dict(saved[name])
    saves = checkpoints is not None and not (processes and processes.rank)
    with checkpoints.looping() if checkpoints else contextlib.nullcontext():
        for step in range(first, total):
            stopping = processes is not None and processes.agree(step)
            begin(step)
            yield step
            if checkpoints and saves and step + 1 < total and (stopping or checkpoints.due()):
                tree = {name: part.state_dict() for name, part in state.items()}
                checkpoints.save(step + 1, tree, history)


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
