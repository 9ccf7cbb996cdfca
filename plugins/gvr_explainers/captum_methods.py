"""captum's attribution methods by name, and their arguments as a user types them."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import captum.attr

import gvr_bench.api as gvr

LEFT_OUT = {"Attribution", "GradientAttribution", "PerturbationAttribution", "FeaturePermutation"}
NOT_TYPED = {
    "self", "inputs", "target", "additional_forward_args", "return_convergence_delta",
    "feature_mask", "custom_attribution_func", "return_input_shape", "show_progress", "verbose",
}  # fmt: skip


def methods() -> dict[str, type[Any]]:
    """Return captum's methods that take a network and images and nothing else, by name."""
    known = {}
    for name in captum.attr.__all__:
        cls = getattr(captum.attr, name)
        if not inspect.isclass(cls) or not issubclass(cls, captum.attr.Attribution):
            continue
        needed = [
            parameter.name
            for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]
            if parameter.default is parameter.empty and parameter.kind < parameter.VAR_POSITIONAL
        ]
        if needed in (["forward_func"], ["model"]) and name not in LEFT_OUT:
            known[name] = cls
    return known


def method_name(typed: str) -> str:
    """Return a method's name in captum, typed in any case. Raises `ValueError`."""
    known = {name.lower(): name for name in methods()}
    name = known.get(typed.lower().replace("-", "").replace("_", ""))
    if name:
        return name
    if hasattr(captum.attr, typed):
        raise ValueError(
            f"captum's {typed} needs more than a network and images, such as a layer; known: "
            f"{', '.join(methods())}"
        )
    raise ValueError(f"captum has no '{typed}'{gvr.did_you_mean(typed, methods())}")


def arguments_of(name: str) -> dict[str, inspect.Parameter]:
    """Return the arguments of a method's `attribute()` that a user may type."""
    parameters = inspect.signature(methods()[name].attribute).parameters
    return {
        key: parameter
        for key, parameter in parameters.items()
        if key not in NOT_TYPED and parameter.kind < parameter.VAR_KEYWORD
    }


def takes_features(name: str) -> bool:
    """Whether a method removes features of a mask."""
    return "feature_mask" in inspect.signature(methods()[name].attribute).parameters


def parsed(value: Any) -> Any:
    """Read a number, a truth value, or numbers joined by + as a tuple; other text stays text."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    text = {"true": "True", "false": "False", "none": "None"}.get(value.lower(), value)
    try:
        values = [ast.literal_eval(part) for part in text.split("+")]
    except (ValueError, SyntaxError):
        return value
    return values[0] if len(values) == 1 else tuple(values)
