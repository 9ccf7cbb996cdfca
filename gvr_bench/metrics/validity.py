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


def became_other(evidence: Evidence) -> Values | None:
    """1 where the head sees neither the class to leave nor the class to reach, else 0."""
    if evidence.task.kind != "multiclass" or evidence.flipped is None or evidence.stayed is None:
        return None
    return (~evidence.flipped & ~evidence.stayed).astype(np.float64)


def stayed(evidence: Evidence) -> Values | None:
    """1 where the head still sees what it saw, else 0."""
    return None if evidence.stayed is None else evidence.stayed.astype(np.float64)


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
        "became_other",
        "validity",
        "down",
        0,
        1,
        "share of images whose prediction became a class that is neither source nor target",
        "generative visual rationales (2018), section 3",
        "makes no counterfactual, or there are no classes",
        became_other,
    ),
    Metric(
        "stayed",
        "validity",
        "down",
        0,
        1,
        "share of images whose prediction is what it was",
        "generative visual rationales (2018), section 3",
        MAKES_NONE,
        stayed,
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
