"""How signed maps agree with the true change, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.proximity import CHANGED

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.metrics.base import Source


def true_change(source: Source) -> Tensor | None:
    """Return the image minus its true counterfactual (N, H, W), None where that is not known."""
    truth = source.true_counterfactual
    return None if truth is None else (source.image - truth).mean(dim=1)


def true_map(change: Tensor | None, source: Source) -> Tensor | None:
    """Return what a perfect map shows: the true change, or its size where maps show evidence.

    A finding that takes brightness away is a negative change, and evidence for itself.
    """
    return change if change is None or source.maps_show_change else change.abs()


def correlation(attribution: Tensor, change: Tensor) -> Tensor:
    """Pearson's r over the pixels: (N, H, W) twice -> (N,) float64.

    0 for a constant map, NaN for a constant change.
    """
    import torch

    a, d = (maps.flatten(1).double() for maps in (attribution, change))
    a, d = (maps - maps.mean(1, keepdim=True) for maps in (a, d))
    norms = a.norm(dim=1) * d.norm(dim=1)
    values = torch.where(norms > 0, (a * d).sum(1) / norms, 0.0).clamp(-1, 1)
    return torch.where(d.norm(dim=1) > 0, values, torch.nan)


def same_sign(attribution: Tensor, change: Tensor) -> Tensor:
    """Share of the changed pixels with the sign of the change: (N, H, W) twice -> (N,) float64.

    No sign is half right. NaN where nothing changes.
    """
    import torch

    a, d = (maps.flatten(1).double() for maps in (attribution, change))
    limit = (d.abs().amax(1, keepdim=True) / 2).clamp(max=CHANGED)
    changed = d.abs() > limit
    right = (1 + a.sign() * d.sign()) / 2
    right[a.amax(1) == a.amin(1)] = 0.5
    values = (right * changed).sum(1) / changed.sum(1)
    return torch.where(changed.any(1), values, torch.nan)
