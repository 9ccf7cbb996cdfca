"""The distance between two clouds of features, each seen as a Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


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
    # Symmetric in exact arithmetic; made so again, for eigvalsh reads one triangle only.
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
