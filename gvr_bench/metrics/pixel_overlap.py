"""How the pixels of a map overlap with a mask. Ties count as expected by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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

    def area(inside: NDArray[np.int64], marked: NDArray[np.int64]) -> float:
        return float((np.diff(inside, prepend=0) * inside / marked).sum() / inside[-1])

    return per_image(area, attribution, mask)


def roc_auc(attribution: Tensor, mask: Tensor) -> Tensor:
    """Area under the receiver operating curve of |attribution| against each mask, likewise."""

    def area(inside: NDArray[np.int64], marked: NDArray[np.int64]) -> float:
        outside = marked - inside
        width, height = np.diff(outside, prepend=0), inside - np.diff(inside, prepend=0) / 2
        return float((width * height).sum() / (inside[-1] * outside[-1]))

    return per_image(area, attribution, mask)


def per_image(
    area: Callable[[NDArray[np.int64], NDArray[np.int64]], float],
    attribution: Tensor,
    mask: Tensor,
) -> Tensor:
    """Compute an area per image from the pixels that each of T thresholds marks.

    `area` gets how many of them lie inside of the mask (T,), and how many there are (T,). Equal
    sizes are one threshold. scikit-learn has the same areas and takes fifteen times as long, most
    of it to check what cannot be wrong here.
    """
    import torch

    values = torch.full((len(mask),), torch.nan, dtype=torch.float64)
    sizes, masks = (t.flatten(1).cpu().numpy() for t in (attribution.abs(), mask))
    for i, (size, pixels) in enumerate(zip(sizes, masks, strict=True)):
        if pixels.any() and not pixels.all():
            falling = np.argsort(-size)
            last = np.append(np.flatnonzero(np.diff(size[falling])), len(size) - 1)
            values[i] = area(np.cumsum(pixels[falling])[last], last + 1)
    return values


def otsu_overlap(attribution: Tensor, mask: Tensor) -> Tensor:
    """IoU of masks with the pixels above Otsu's threshold: (N, H, W), (N, H, W) -> (N,) float64.

    A constant map has no threshold: half of its pixels are drawn at random. NaN where the mask is
    empty or leaves nothing out.
    """
    import torch
    from skimage.filters import threshold_otsu

    values = []
    for size, pixels in zip(sizes(attribution), mask.flatten(1), strict=True):
        span, area = size.max() - size.min(), int(pixels.sum())
        if span > 0:  # scaled, for a large offset would hide the bins
            scaled = ((size - size.min()) / span).cpu().numpy()
            limit = threshold_otsu(scaled)  # type: ignore[no-untyped-call]
            hot = torch.from_numpy(scaled > limit).to(pixels.device)
            values.append(float((hot & pixels).sum() / (hot | pixels).sum()))
        else:
            values.append(chance_iou(len(size), area))
    return where_known(torch.tensor(values, dtype=torch.float64), mask.flatten(1))


def chance_iou(pixels: int, area: int) -> float:
    """Mean IoU of a mask with half of all pixels, drawn at random."""
    from scipy.stats import hypergeom

    half = pixels // 2
    shared = np.arange(min(area, half) + 1)
    chance = hypergeom.pmf(shared, pixels, area, half)
    return float(np.sum(chance * shared / (half + area - shared)))
