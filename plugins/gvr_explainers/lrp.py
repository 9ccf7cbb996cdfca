"""Layer-wise relevance propagation (Bach et al. 2015) with the gamma rule for every layer."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.propagation import Function, Propagation, replaced_gradient


class Relevance(Propagation):
    """Makes the gradient of a value, times that value, its relevance."""

    method = "layer-wise relevance propagation"

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def activation(self, function: Function, x: Tensor) -> Tensor:
        """Pass relevance on unchanged."""
        value: Tensor = function(x)
        return replaced_gradient(value, x * ratio(value, x))

    def layer(
        self,
        function: Function,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Share relevance by contributions; those of the output's sign count 1 + gamma times."""
        above, below = x.clamp(min=0), x.clamp(max=0)
        up, down = weight.clamp(min=0), weight.clamp(max=0)

        def sum_of(a: Tensor, b: Tensor, constant: Tensor | None) -> Any:
            return function(above, a, constant, *args, **kwargs) + function(
                below, b, None, *args, **kwargs
            )

        value: Tensor = function(x, weight, bias, *args, **kwargs)
        raising = sum_of(up, down, None if bias is None else bias.clamp(min=0))
        lowering = sum_of(down, up, None if bias is None else bias.clamp(max=0))
        favoured = value + self.gamma * torch.where(value > 0, raising, lowering)
        return replaced_gradient(value, favoured * ratio(value, favoured))


class Lrp(gvr.Explainer):
    """Relevance of each pixel: the output, shared out layer by layer by what contributed to it.

    The gamma rule in the form that also holds for negative activations (Andeol et al. 2021);
    batch normalisation and sums share by their terms, maxima go to the largest. With gamma 0 on a
    network with ReLU this is `input-x-gradient`. Biases keep their share.
    """

    class Settings(gvr.Settings):
        """The value of gamma is that of Montavon et al. 2019."""

        gamma: float = Field(0.25, gt=0, description="how far favourable contributions count more")

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Propagate back. Raises `Unsupported` for functions without a rule, such as attention."""
        slope = Relevance(self.settings.gamma).gradient(model, x, target)
        return gvr.Explanation(attribution=(slope * x).sum(dim=1))


def ratio(value: Tensor, of: Tensor) -> Tensor:
    """Return `value / of` without a gradient, 0 where `of` is 0."""
    value, of = value.detach(), of.detach()
    return torch.where(of == 0, 0.0, value / torch.where(of == 0, 1.0, of))
