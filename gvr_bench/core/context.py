"""What a component computes with: device, random numbers, training loop, loss, augmentation.

Of several processes each takes rows of every batch. All draw the random numbers of the entire batch
and use their rows of them, and gradients are summed. Hence the number of processes changes a result
by rounding only, and all end a step with equal weights.

Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gvr_bench.core.errors import PluginError, TrainingError, UsageError
from gvr_bench.core.types import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from gvr_bench.core.process_group import ProcessGroup
    from gvr_bench.core.reference import Reference


LEAST_STEPS = 500  # of a training with a limit of epochs


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


class Progress(Protocol):
    """Called with the steps done, their total, and a short text such as `epoch 1.5`."""

    def __call__(self, done: int, total: int, detail: str) -> None: ...


def seed_from(*parts: object) -> int:
    """Derive a 63-bit seed from anything with a stable `repr`, e.g. `seed_from(seed, step)`."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass
class Context:
    """What a component computes with; apart from the seed it changes a result by rounding only.

    - `batch_size`: images to explain in one batch; trainings have a setting of their own.
    - `history`: one dict per call of `log`, with its `step`.
    - `note`: what reports say of a generator's training beside its settings, a sentence without
      its full stop.
    - `process_group`: the processes that train together; None for one process.
    """

    device: torch.device
    seed: int = 0
    batch_size: int = 128
    bfloat16: bool = False
    progress: Progress = lambda *_: None
    checkpoints: Checkpoints | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    note: str = ""
    process_group: ProcessGroup | None = None
    _step: int = 0
    _total: int = 0
    _reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        """Training images with their labels, latents and predictions.

        Raises `PluginError` for an explainer that does not declare `uses_reference = True`.
        """
        if self._reference is None:
            raise PluginError(
                "reads ctx.reference, which only explainers that declare it have; write "
                "uses_reference = True in its class"
            )
        return self._reference

    def rng(self, *parts: object) -> torch.Generator:
        """Return a CPU random generator that depends on the seed and `parts` only."""
        import torch

        return torch.Generator().manual_seed(seed_from(self.seed, *parts))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Compute in bfloat16 in this block, where the device gains from it."""
        import torch

        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def log(self, **values: float) -> None:
        """Record losses at the current step of the loop.

        Raises `TrainingError` on NaN or infinity.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(f"{name} became {value} at step {self._step} of {self._total}")
        self.history.append({"step": float(self._step), **values})

    def loop(
        self, total: int, state: Mapping[str, Stateful], *, batch: int = 0, images: int = 0
    ) -> Iterator[int]:
        """Yield the steps 0..total-1 of a training that survives being killed.

        Everything that changes from step to step must be in `state`, and every random draw must
        come from `ctx.rng(step)`: then a resumed training equals an uninterrupted one. A step
        consumes `batch` of `images` images; this serves to show epochs.
        """
        checkpoints, group, first = self.checkpoints, self.process_group, 0
        if checkpoints and (checkpoint := checkpoints.load()):
            first, saved, self.history[:] = checkpoint
            for name, part in state.items():
                part.load_state_dict(saved[name])
        saves = not (group and group.rank)  # of several processes the first alone
        with checkpoints.looping() if checkpoints else contextlib.nullcontext():
            for step in range(first, total):
                stopping = group is not None and group.agree(step)
                self._step, self._total = step, total
                epoch = f"epoch {step * batch / images:.1f}" if batch and images else ""
                self.progress(step, total, epoch)
                yield step
                if checkpoints and saves and step + 1 < total and (stopping or checkpoints.due()):
                    tree = {name: part.state_dict() for name, part in state.items()}
                    checkpoints.save(step + 1, tree, self.history)
        self.progress(total, total, "")

    def shard(self, batch: int, times: int = 1) -> BatchShard:
        """Return this process's rows of a step's `times` batches: all of them in one process.

        Draw for the entire batch, then take `shard.rows` of what was drawn. Raises `UsageError`
        where a process gets no row.
        """
        import torch

        group = self.process_group
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
        self, loss: Tensor, parameters: Iterable[nn.Parameter], shard: BatchShard
    ) -> Tensor:
        """Do `loss.backward()` for the batch of all processes, and return its mean loss ().

        `loss` () is a mean over the rows of `shard`; gradients must be empty before.
        """
        import torch

        if self.process_group is None:
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        # `DistributedDataParallel` hooks into a single backward pass, which a gradient penalty
        # breaks by differentiating twice; it also weighs processes equally, whatever their rows.
        weighted = loss * shard.weight
        weighted.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in parameters if p.grad is not None]
        parts = [*(g.flatten() for g in gradients), weighted.detach().flatten()]
        total = self.process_group.total(torch.cat(parts))
        *sums, mean = torch.split(total, [part.numel() for part in parts])
        for gradient, summed in zip(gradients, sums, strict=True):
            gradient.copy_(summed.view(gradient.shape))
        return mean[0]

    def all_reduce_mean(self, shard: BatchShard, *values: Tensor) -> tuple[Tensor, ...]:
        """Return means () over the batch, from means () over the rows of `shard`, to log them."""
        import torch

        means, group = torch.stack([value.detach() for value in values]), self.process_group
        return tuple(means if group is None else group.total(means * shard.weight))

    def batches(self, n: int, size: int | None = None) -> Iterator[slice]:
        """Cut 0..n into slices of at most `size` (default `batch_size`), showing progress."""
        size = size or self.batch_size
        for start in range(0, n, size):
            self.progress(start, n, "")
            yield slice(start, min(start + size, n))
        self.progress(n, n, "")


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


def steps_within(epochs: float | None, steps: int, *, batch: int, images: int) -> int:
    """Return `steps`, or fewer where those take more than `epochs` passes over the `images`.

    A small data set is learned sooner than a large one, though not in less than 500 steps. None is
    no limit.
    """
    if epochs is None:
        return steps
    return min(steps, max(LEAST_STEPS, math.ceil(epochs * images / batch)))


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
