"""Splits work into batches that fit in memory; the batch size changes only rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import gvr_bench.api as gvr

CPU_BUDGET = 32 * 2**20  # bytes of activations; more makes allocations on a CPU slow
GPU_BUDGET = 2**30  # with less a GPU waits for work
FACTOR = 64  # activations of a wide network on grey images, relative to the bytes of its input


def max_batch_size(x: Tensor, *, gradients: bool = False) -> int:
    """Return how many images like `x` (N, C, H, W) fit in memory, at least 1.

    Storing activations for `gradients` takes twice the memory.
    """
    _, c, h, w = x.shape
    budget = CPU_BUDGET if x.device.type == "cpu" else GPU_BUDGET
    each = 4 * c * h * w * FACTOR * (2 if gradients else 1)
    return max(1, budget // each)


def batches(n: int, size: int) -> Iterator[slice]:
    """Split 0..n into slices of at most `size`."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@torch.no_grad()
def predict_variants(
    model: gvr.Model,
    x: Tensor,
    target: gvr.ExplanationTarget,
    count: int,
    variant: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return the source output of `count` variants of each image of `x` (N, C, H, W): (N, count).

    `variant(i, j)` returns the `j`-th variants of the images at `i`: two (B,) -> (B, C, H, W).
    """
    n = len(x)
    parts = []
    for part in batches(n * count, max_batch_size(x)):
        pairs = torch.arange(part.start, part.stop, device=x.device)
        image = pairs // count
        parts.append(target[image].source_output(model(variant(image, pairs % count))))
    return torch.cat(parts).view(n, count)
