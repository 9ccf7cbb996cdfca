"""What a search in latent space is to reach, as numbers of the model's outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import gvr_bench.api as gvr

EPSILON = 1e-4  # smallest distance of a probability from 0 and 1


def gap(outputs: Tensor, target: gvr.ExplanationTarget, confidence: float = 0.99) -> Tensor:
    """Return how far outputs (N, K) are from the goal, at most 0 once reached: (N,).

    In logits, or the scaled value of a regression. The goal is the reference value, for a class at
    most `confidence`.
    """
    if target.task.kind == "regression":
        return target.source_output(outputs) - target.reference_value
    if target.task.kind == "multiclass":
        column = target.target_class[:, None]
        rest = outputs.scatter(1, column, -torch.inf).logsumexp(1)
        value = rest - outputs.gather(1, column)[:, 0]  # the logit of all other classes
        goal = target.reference_value.clamp(1 - confidence, 0.5).logit()
    else:
        value, goal = target.source_output(outputs), target.reference_value.logit(EPSILON)
    return value - goal


def target_loss(outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return the cross-entropy of outputs (N, K) with the target side: (N,).

    For a regression the squared distance from the reference value, whose unit is the distance of
    the threshold from it.
    """
    if target.task.kind == "multiclass":
        return F.cross_entropy(outputs, target.target_class, reduction="none")
    value = target.source_output(outputs)
    if target.task.kind == "regression":
        unit = (target.threshold - target.reference_value).abs().clamp_min(EPSILON)
        return ((value - target.reference_value) / unit).square()
    return F.softplus(value)  # -log(1 - p)
