"""Any attribution method of captum that needs no layer, by its class's name."""

from __future__ import annotations

import copy
import inspect
from typing import Any, cast

import pydantic
import torch
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.api import CaptumExplainer
from gvr_explainers.batching import max_batch_size
from gvr_explainers.captum_methods import (
    arguments_of,
    method_name,
    methods,
    parsed,
    takes_features,
)
from gvr_explainers.lime import superpixels

RELU = (nn.ReLU,)
CHANGED = {  # layers that a method changes; without them it is the plain gradient
    "GuidedBackprop": RELU,
    "Deconvolution": RELU,
    "DeepLift": tuple(SUPPORTED_NON_LINEAR),
    "DeepLiftShap": tuple(SUPPORTED_NON_LINEAR),
}
BASELINES = 50  # training images for methods that compare with a distribution
MOST_ORDERED = 7  # features whose every order can be tried


class AnyCaptum(CaptumExplainer):
    """A method of captum by name, `captum:Occlusion`, with arguments of its `attribute()`.

    Its map is the sum over channels. Training images are the baselines where a method requires a
    distribution of them, and LIME's superpixels are the features that are removed.
    """

    draws = True
    uses_reference = True
    argument = "attributor"

    class Settings(gvr.Settings):
        """Beside these, every argument of the method that is a number, a word or 1+8+8."""

        model_config = pydantic.ConfigDict(extra="allow")

        attributor: str = Field("IntegratedGradients", description="class of captum.attr")
        segments: int = Field(50, ge=2, description="superpixels of methods that remove features")

        @pydantic.model_validator(mode="before")
        @classmethod
        def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
            own = {key: value for key, value in values.items() if key in cls.model_fields}
            name = method_name(str(own.get("attributor", "IntegratedGradients")))
            allowed, typed = arguments_of(name), values.keys() - own.keys()
            for key in sorted(typed - allowed.keys()):
                hint = gvr.did_you_mean(key, allowed)
                raise ValueError(f"captum's {name} takes no '{key}'{hint}")
            if name == "ShapleyValues" and int(own.get("segments", 50)) > MOST_ORDERED:
                raise ValueError(
                    "ShapleyValues tries every order of the superpixels; type "
                    f"segments={MOST_ORDERED}, or use ShapleyValueSampling"
                )
            return own | {"attributor": name} | {key: parsed(values[key]) for key in typed}

    settings: Settings

    def method(self, network: nn.Module) -> Any:
        """Return captum's object for a copy of the network, which some methods change.

        Raises `Unsupported` where captum would return the plain gradient without a word.
        """
        name = self.settings.attributor
        changed = CHANGED.get(name, (nn.Module,))
        if not any(isinstance(module, changed) for module in network.modules()):
            raise gvr.Unsupported(
                f"captum's {name} changes {', '.join(kind.__name__ for kind in changed)} alone, "
                "and this network has none; see guided-backprop and deep-lift"
            )
        return WithReason(methods()[name](copy.deepcopy(network)), name)

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the typed arguments, and what the method requires beside them."""
        name, chosen = self.settings.attributor, dict(self.settings.model_extra or {})
        allowed = arguments_of(name)
        for batch, gradients in (("perturbations_per_eval", False), ("internal_batch_size", True)):
            if batch in allowed:
                chosen.setdefault(batch, max_batch_size(x, gradients=gradients))
        if takes_features(name):
            chosen["feature_mask"] = superpixels(x, self.settings.segments, 0.1, 1.0)[:, None]
        baselines = allowed.get("baselines")
        if baselines and baselines.default is inspect.Parameter.empty:
            count = min(BASELINES, len(ctx.reference))
            rows = torch.arange(count) * len(ctx.reference) // count
            chosen.setdefault("baselines", ctx.reference.images(rows))
        return chosen


class WithReason:
    """Turns captum's refusal of a network into an `Unsupported` with its reason."""

    def __init__(self, method: Any, name: str) -> None:
        self.captums, self.name = method, name

    def attribute(self, x: Tensor, **arguments: Any) -> Tensor:
        """Return captum's attribution (1, C, H, W)."""
        try:
            return cast(Tensor, self.captums.attribute(x, **arguments))
        except (TypeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise gvr.Unsupported(f"captum's {self.name}: {reason}") from error
