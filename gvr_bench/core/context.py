"""What a component computes with: device, random numbers, training loop, progress.

Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gvr_bench.core.data_parallel import BatchShard, all_reduce_mean, backward, shard_of
from gvr_bench.core.errors import PluginError, TrainingError
from gvr_bench.core.training import Checkpoints, Stateful, resumable_steps

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from gvr_bench.core.process_group import ProcessGroup
    from gvr_bench.core.reference import Reference


class Progress(Protocol):
    """Called with the steps done, their total, and a short text such as `epoch 1.5`."""

    def __call__(self, done: int, total: int, detail: str) -> None: ...


def _silent(done: int, total: int, detail: str) -> None:
    pass


def seed_from(*parts: object) -> int:
    """Derive a 63-bit seed from anything with a stable `repr`, e.g. `seed_from(seed, step)`."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass
class Context:
    """What a component computes with; apart from the seed it changes a result by rounding only.

    - `batch_size`: images to explain in one batch; trainings have a setting of their own.
    - `history`: one dict per call of `log`, with its `step`.
    - `process_group`: the processes that train together; None for one process.
    """

    device: torch.device
    seed: int = 0
    batch_size: int = 128
    bfloat16: bool = False
    progress: Progress = _silent
    checkpoints: Checkpoints | None = None
    history: list[dict[str, float]] = field(default_factory=list)
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

        def begin(step: int) -> None:
            self._step, self._total = step, total
            epoch = f"epoch {step * batch / images:.1f}" if batch and images else ""
            self.progress(step, total, epoch)

        yield from resumable_steps(
            total, state, self.history, begin, self.checkpoints, self.process_group
        )
        self.progress(total, total, "")

    def shard(self, batch: int, times: int = 1) -> BatchShard:
        """Return this process's rows of a step's `times` batches: all of them in one process.

        Draw for the entire batch, then take `shard.rows` of what was drawn.
        """
        return shard_of(self.process_group, batch, times)

    def backward(
        self, loss: Tensor, parameters: Iterable[nn.Parameter], shard: BatchShard
    ) -> Tensor:
        """Do `loss.backward()` for the batch of all processes, and return its mean loss ().

        `loss` () is a mean over the rows of `shard`; gradients must be empty before.
        """
        return backward(self.process_group, loss, parameters, shard)

    def all_reduce_mean(self, shard: BatchShard, *values: Tensor) -> tuple[Tensor, ...]:
        """Return means () over the batch, from means () over the rows of `shard`, to log them."""
        return all_reduce_mean(self.process_group, shard, values)

    def batches(self, n: int, size: int | None = None) -> Iterator[slice]:
        """Cut 0..n into slices of at most `size` (default `batch_size`), showing progress."""
        size = size or self.batch_size
        for start in range(0, n, size):
            self.progress(start, n, "")
            yield slice(start, min(start + size, n))
        self.progress(n, n, "")
