"""Does the map show what is truly there? For data whose masks or counterfactuals are known."""

from __future__ import annotations

import numpy as np

from gvr_bench.metrics.base import Evidence, Metric, Values


def pixel_ap(evidence: Evidence) -> Values | None:
    """Average precision of |heat| against the mask; NaN where the mask is empty or full."""
    from sklearn.metrics import average_precision_score

    if evidence.mask is None:
        return None
    values = np.full(len(evidence), np.nan)
    for i, (heat, mask) in enumerate(zip(evidence.heat, evidence.mask, strict=True)):
        if mask.any() and not mask.all():
            values[i] = average_precision_score(mask.ravel(), np.abs(heat).ravel())
    return values


def true_change_correlation(evidence: Evidence) -> Values | None:
    """Pearson's r of the signed heat with the true change; 0 for a constant map."""
    if evidence.true_change is None:
        return None
    n = len(evidence)
    heat = evidence.heat.reshape(n, -1).astype(np.float64)
    change = evidence.true_change.reshape(n, -1).astype(np.float64)
    heat = heat - heat.mean(axis=1, keepdims=True)
    change = change - change.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(heat, axis=1) * np.linalg.norm(change, axis=1)
    products = (heat * change).sum(axis=1)
    values: Values = np.divide(products, norms, out=np.zeros(n), where=norms > 0)
    values[np.linalg.norm(change, axis=1) == 0] = np.nan
    return np.clip(values, -1, 1)  # rounding may pass 1


TRUTH = (
    Metric(
        "pixel_ap",
        "ground truth",
        "up",
        0,
        1,
        "average precision of |heat| against the finding's pixels",
        "Arun et al. 2021 (AUPRC)",
        "no masks are known",
        pixel_ap,
    ),
    Metric(
        "true_change_correlation",
        "ground truth",
        "up",
        -1,
        1,
        "Pearson correlation of the signed heat with input minus true counterfactual",
        "this project",
        "no true counterfactuals are known",
        true_change_correlation,
    ),
)
