"""Does the counterfactual flip the model? Where none was made the metrics do not apply."""

from __future__ import annotations

import numpy as np

from gvr_bench.metrics.base import Evidence, Metric, Values

MAKES_NONE = "makes no counterfactual"


def validity(evidence: Evidence) -> Values | None:
    """1 where the head is on the target side at the latent found, else 0."""
    flipped = evidence.flipped
    return None if flipped is None else flipped.astype(np.float64)


def reencoded_validity(evidence: Evidence) -> Values | None:
    """1 where the head is on the target side at the encoded counterfactual image, else 0."""
    flipped = evidence.reencoded_flipped
    return None if flipped is None else flipped.astype(np.float64)


def steps(evidence: Evidence) -> Values | None:
    """Optimisation steps used."""
    return None if evidence.steps is None else evidence.steps.astype(np.float64)


VALIDITY = (
    Metric(
        "validity",
        "validity",
        "up",
        0,
        1,
        "share of images whose prediction h(z') is on the target side",
        "Wachter et al. 2017",
        MAKES_NONE,
        validity,
    ),
    Metric(
        "reencoded_validity",
        "validity",
        "up",
        0,
        1,
        "share of images whose prediction h(E(x')) is on the target side: the counterfactual "
        "image, not only its latent, flips the model",
        "this project; guards against latent-space fooling",
        MAKES_NONE,
        reencoded_validity,
    ),
    Metric(
        "steps",
        "validity",
        "down",
        0,
        float("inf"),
        "optimisation steps used",
        "generative visual rationales (2018)",
        "takes no steps",
        steps,
    ),
)
