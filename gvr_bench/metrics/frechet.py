"""The distance between two clouds of features, each seen as a Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gvr_bench.metrics.statistics import ENDS, NO_SCORE, RESAMPLES, Score

if TYPE_CHECKING:
    from torch import Tensor

BATCH_RESAMPLES = 50  # resamples of one side that are drawn before those of the other
BATCH_NUMBERS = 2**24  # numbers of resampled features in one batch, to bound memory


def fid(a: Tensor, b: Tensor) -> Score:
    """Frechet distance between features (N, F) and (M, F) with a bootstrap interval over both.

    Resampling with replacement raises all distances alike, so the resampled ones are moved until
    their median is the distance itself; the interval ends at 0.
    """
    import torch

    if min(len(a), len(b)) < 2:
        return NO_SCORE
    value = frechet_distance(a, b)
    rng = torch.Generator().manual_seed(0)
    count = max(1, BATCH_NUMBERS // max(a.numel(), b.numel()))
    drawn = []
    for _ in range(RESAMPLES // BATCH_RESAMPLES):
        rows = [torch.randint(len(t), (BATCH_RESAMPLES, len(t)), generator=rng) for t in (a, b)]
        for of_a, of_b in zip(*(torch.split(r, count) for r in rows), strict=True):
            drawn.append(frechet_distances(a[of_a], b[of_b]))
    low, middle, high = np.quantile(torch.cat(drawn).cpu(), [ENDS[0], 0.5, ENDS[1]])
    shift = value - middle
    return Score(value, max(0.0, float(low + shift)), float(high + shift), min(len(a), len(b)))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Frechet distance of the Gaussians fitted to two sets of features.

    `a` (N, F) and `b` (M, F) -> |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) >= 0, with
    the unbiased covariances A and B; NaN where a set has fewer than two rows. Computed in float64.

    Source: Dowson and Landau 1982; on features of a network it is the FID (Heusel et al. 2017).
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    return float(frechet_distances(a[None], b[None])[0])


def frechet_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance of each pair of sets, of two rows or more: (R, N, F), (R, M, F) -> (R,).

    See `frechet_distance`.
    """
    import torch

    (mean_a, first), (mean_b, second) = moments(a), moments(b)
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
    # Symmetric in exact arithmetic only, and eigvalsh reads one triangle.
    product = root @ second @ root
    cross = torch.linalg.eigvalsh((product + product.mT) / 2).clamp(min=0).sqrt().sum(1)
    traces = (first + second).diagonal(dim1=1, dim2=2).sum(1)
    distances: Tensor = (mean_a - mean_b).square().sum(1) + traces - 2 * cross
    return distances.clamp(min=0)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (R, F) and unbiased covariance (R, F, F) of each set (R, N, F), in float64."""
    features = features.double()
    mean = features.mean(1)
    centred = features - mean[:, None]
    return mean, centred.mT @ centred / (features.shape[1] - 1)
