"""How a component computes: device, random numbers, training loop, progress.

Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gvr_bench.core.data_parallel import BatchShard, Processes, backward, mean, shard_of
from gvr_bench.core.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Stateful(Protocol):
    """What a checkpoint can hold: networks, optimisers, schedulers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


class Checkpoints(Protocol):
    """Where a loop keeps its state between crashes."""

    def due(self) -> bool: ...

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None: ...

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None: ...

    def looping(self) -> contextlib.AbstractContextManager[None]: ...


class Progress(Protocol):
    """Who shows how far a loop is."""

    def __call__(self, done: int, total: int, detail: str) -> None: ...


def _silent(done: int, total: int, detail: str) -> None:
    """Show nothing."""


def seed_from(*parts: object) -> int:
    """Derive a 63-bit seed from anything with a stable `repr`, e.g. `seed_from(seed, step)`."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass
class Context:
    """How things are computed; nothing in it changes a result beyond rounding, except the seed.

    `history` collects what `log` is given: one dict per call with its `step`.
    """

    device: torch.device
    seed: int = 0
    batch_size: int = 128
    bfloat16: bool = False
    progress: Progress = _silent
    checkpoints: Checkpoints | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    processes: Processes | None = None  # that train together, where there are several
    _step: int = 0
    _total: int = 0

    def rng(self, *parts: object) -> torch.Generator:
        """A CPU random generator that depends on the seed and `parts` alone."""
        import torch

        return torch.Generator().manual_seed(seed_from(self.seed, *parts))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bfloat16 arithmetic where the device gains from it."""
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
        come from `ctx.rng(step)`: then a resumed training equals an uninterrupted one.
        `batch` images are consumed per step out of `images`, to show epochs and throughput.
        """
        first = 0
        found = self.checkpoints.load() if self.checkpoints else None
        if found is not None:
            first, saved, self.history[:] = found
            for name, part in state.items():
                part.load_state_dict(saved[name])
        self._total = total
        with self.checkpoints.looping() if self.checkpoints else contextlib.nullcontext():
            for step in range(first, total):
                self._step = step
                last = self.processes is not None and self.processes.agree(step)
                epoch = f"epoch {step * batch / images:.1f}" if batch and images else ""
                self.progress(step, total, epoch)
                yield step
                leads = not self.processes or self.processes.rank == 0
                if not (self.checkpoints and leads and step + 1 < total):
                    continue
                if last or self.checkpoints.due():
                    tree = {name: part.state_dict() for name, part in state.items()}
                    self.checkpoints.save(step + 1, tree, self.history)
        self.progress(total, total, "")

    def shard(self, batch: int, times: int = 1) -> BatchShard:
        """Return the rows that this process takes of a step's `times` batches: all, if it is alone.

        Draw for the whole batch, and keep `share.rows` of what was drawn.
        """
        return shard_of(self.processes, batch, times)

    def backward(
        self, loss: Tensor, parameters: Iterable[nn.Parameter], share: BatchShard
    ) -> Tensor:
        """Do `loss.backward()` for the batch that was shared, and return its mean loss.

        `loss` () is a mean over the rows of `share`; gradients must be empty before.
        """
        return backward(self.processes, loss, parameters, share)

    def all_reduce_mean(self, share: BatchShard, *values: Tensor) -> tuple[Tensor, ...]:
        """Return means over the batch, from means () over the rows of `share`, to log them."""
        return mean(self.processes, share, values)

    def convert_sync_batchnorm(self, net: nn.Module) -> nn.Module:
        """Return `net` with batch normalisation that sees the rows of all processes."""
        from gvr_bench.core.sync_batchnorm import convert_sync_batchnorm

        return convert_sync_batchnorm(net, self.processes)

    def batches(self, n: int, size: int | None = None) -> Iterator[slice]:
        """Cut 0..n into slices of at most `size` (default `batch_size`), showing progress."""
        size = size or self.batch_size
        for start in range(0, n, size):
            self.progress(start, n, "")
            yield slice(start, min(start + size, n))
        self.progress(n, n, "")
