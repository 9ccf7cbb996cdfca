"""Guided backpropagation (Springenberg et al. 2014) for any monotone activation."""

from __future__ import annotations

from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.propagation import Function, Propagation


class Guided(Propagation):
    """Lets only positive gradients through activations."""

    method = "guided backpropagation"

    def activation(self, function: Function, x: Tensor) -> Tensor:
        """Drop negative gradients before they reach the activation's own slope."""
        value: Tensor = function(x)
        value.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call]
        return value


class GuidedBackprop(gvr.Explainer):
    """Gradient by the pixels that counts only what raises the output at every activation.

    For networks with ReLU the same as captum's `GuidedBackprop`, which is the plain gradient for
    those without. The map is the sum over channels.
    """

    maps_show_change = True

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Propagate back.

        Raises `Unsupported` for activations that are not monotone, and for a network with none.
        """
        return gvr.Explanation(attribution=Guided().gradient(model, x, target).sum(dim=1))
