"""Cutting much work into pieces that fit in memory; the pieces change nothing but rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import gvr_bench.api as gvr

CPU_BUDGET = 32 * 2**20  # bytes of activations; beyond this a processor's allocations slow it down
GPU_BUDGET = 2**30  # below this a GPU waits for work
FACTOR = 64  # a network's activations over the bytes of its input, of a wide one on grey images


def images_at_once(x: Tensor, *, gradients: bool = False) -> int:
    """Return how many images like `x` (N, C, H, W) a network may see at once; 1 or more.

    Keeping activations for `gradients` takes twice the memory.
    """
    _, c, h, w = x.shape
    budget = CPU_BUDGET if x.device.type == "cpu" else GPU_BUDGET
    each = 4 * c * h * w * FACTOR * (2 if gradients else 1)
    return max(1, budget // each)


def slices(n: int, size: int) -> Iterator[slice]:
    """Cut 0..n into slices of at most `size`."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@torch.no_grad()
def ask_variants(
    model: gvr.Model,
    x: Tensor,
    target: gvr.ExplanationTarget,
    count: int,
    variant: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return the asked-for output of `count` variants of each image of `x` (N, C, H, W).

    `variant(i, j)` makes the `j`-th variants of the images at `i`: two (B,) -> (B, C, H, W).
    The result is (N, count).
    """
    n = len(x)
    parts = []
    for part in slices(n * count, images_at_once(x)):
        pairs = torch.arange(part.start, part.stop, device=x.device)
        image = pairs // count
        parts.append(target[image].source_output(model(variant(image, pairs % count))))
    return torch.cat(parts).view(n, count)
