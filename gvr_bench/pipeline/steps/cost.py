"""What explaining costs: wall time, network passes, memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gvr_bench.core.allocator import give_back_freed_memory
from gvr_bench.core.types import Model

MEBI = 2**20
PROCESS = Path("/proc/self")  # where Linux tells a process about itself


@dataclass
class Cost:
    """Seconds, images passed through encoder and decoder, and MiB beyond what was in use.

    `memory` is None where the system does not tell.
    """

    seconds: float = 0.0
    evaluations: int = 0
    memory: float | None = None


@contextlib.contextmanager
def measuring(model: Model, device: torch.device) -> Iterator[Cost]:
    cost = Cost()
    networks = (model.encoder, model.generator)
    hooks = [net.register_forward_hook(counter(cost)) for net in networks]
    before = reset_peak(device)
    started = time.perf_counter()
    try:
        yield cost
    finally:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        cost.seconds = time.perf_counter() - started
        more = growth(before, device)
        cost.memory = None if more is None else more / MEBI
        for hook in hooks:
            hook.remove()


def counter(cost: Cost) -> Any:
    """Return a hook that counts images on their way forward, and back where gradients are."""

    def count(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        n = len(inputs[0])
        cost.evaluations += n
        if output.requires_grad:

            def backward(_: Tensor) -> None:
                cost.evaluations += n

            output.register_hook(backward)  # type: ignore[no-untyped-call]

    return count


def reset_peak(device: torch.device) -> float | None:
    """Start a new peak, and return the bytes in use; None where that cannot be."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    give_back_freed_memory()
    try:
        (PROCESS / "clear_refs").write_text("5")  # resets the peak of resident memory
    except OSError:
        return None
    return resident("VmRSS")


def read_peak(device: torch.device) -> float | None:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resident("VmHWM")


def growth(before: float | None, device: torch.device) -> float | None:
    """Return by how many bytes the peak exceeds what was in use; None where nobody tells."""
    peak = read_peak(device)
    return None if before is None or peak is None else max(0.0, peak - before)


def resident(name: str) -> float | None:
    """Read one of the process's memory sizes in bytes; None where the system does not tell."""
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return float(sizes[0]) * 1024 if sizes else None
