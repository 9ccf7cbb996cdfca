"""How the pixels of a map overlap with a mask. Ties count as expected by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def sizes(attribution: Tensor) -> Tensor:
    """|attribution| per pixel: (N, H, W) -> (N, P) float64."""
    return attribution.flatten(1).double().abs()


def shares(attribution: Tensor) -> Tensor:
    """|attribution| scaled to a sum of 1, evenly spread where all is zero: (N, H, W) -> (N, P)."""
    import torch

    mass = sizes(attribution)
    total = mass.sum(1, keepdim=True)
    return torch.where(total > 0, mass / total, 1 / mass.shape[1])


def where_known(values: Tensor, mask: Tensor) -> Tensor:
    """Return values (N,) as float64, NaN where `mask` (N, P) is empty or leaves nothing out."""
    import torch

    return torch.where(mask.any(1) & ~mask.all(1), values.double(), torch.nan)


def average_precision(attribution: Tensor, mask: Tensor) -> Tensor:
    """Average precision of |attribution| against each mask: (N, H, W), (N, H, W) -> (N,) float64.

    NaN where the mask is empty or leaves nothing out.
    """
    import torch
    from sklearn.metrics import average_precision_score

    values = torch.full((len(mask),), torch.nan, dtype=torch.float64)
    sizes, masks = attribution.abs().cpu().numpy(), mask.cpu().numpy()
    for i, (size, pixels) in enumerate(zip(sizes, masks, strict=True)):
        if pixels.any() and not pixels.all():
            values[i] = average_precision_score(pixels.ravel(), size.ravel())
    return values


def hottest_pixels(
    attribution: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Count who is among the A hottest pixels, A being the mask's area; (N, H, W), (N, P) -> (N,).

    Returns `certain`, pixels of the mask that are among them for sure; `tied`, pixels at the value
    where the cut falls, of which `good` lie in the mask and `drawn` belong to the A; and A.
    """
    size, area = sizes(attribution), mask.sum(1)
    falling = size.sort(1, descending=True).values
    cut = falling.gather(1, (area - 1).clamp(min=0)[:, None])
    above, at = size > cut, size == cut
    certain, good = (above & mask).sum(1), (at & mask).sum(1)
    return certain, at.sum(1), good, area - above.sum(1), area


def expected_iou(certain: int, tied: int, good: int, drawn: int, areas: int) -> float:
    """Mean IoU of two sets of pixels whose overlap is in part a matter of chance.

    They share `certain` pixels, and however many of `good` are among `drawn` out of `tied` without
    replacement; `areas` is the sum of their sizes.
    """
    from scipy.stats import hypergeom

    shared = np.arange(min(good, drawn) + 1)
    chance = hypergeom.pmf(shared, tied, good, drawn)
    overlap = certain + shared
    return float(np.sum(chance * overlap / (areas - overlap)))
