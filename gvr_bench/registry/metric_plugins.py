"""A plugin's metric as a group of one, and what it must return: checked in a run and by
`gvr_bench.testing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self, get_args

from gvr_bench.core.errors import PluginError
from gvr_bench.core.metric import Better, Metric, MetricInput
from gvr_bench.metrics import Group
from gvr_bench.metrics import Metric as Declared
from gvr_bench.metrics.base import CaseInput, Source

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.registry.explainer_contract import Violation

ROUNDING = 1e-6  # by which a value may leave its range


@dataclass(frozen=True)
class PluginInput(CaseInput):
    """What a plugin's metric sees, in the form of the other groups' inputs."""

    data: MetricInput

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        read = source.read_optional
        return cls(
            MetricInput(
                source.model,
                source.target,
                source.image,
                source.read("explanations", "attribution"),
                source.base,
                counterfactual=read("explanations", "counterfactual"),
                mask=read("cases", "mask"),
                distractor=read("cases", "distractor"),
                true_counterfactual=source.true_counterfactual,
                explain=source.explain,
            )
        )


def group_of(label: str, component: Metric) -> Group:
    """Return the group with a plugin's metric alone; both are called `label`.

    Raises `PluginError` where its declaration cannot be used.
    """
    if faults := declaration_faults(component):
        raise PluginError(f"metric '{label}': {faults[0]}")
    group = Group(label, label, "", default=False, case_input=PluginInput)
    meaning = " ".join((component.__doc__ or "").partition("\n\n")[0].split())
    group.metrics.append(
        Declared(
            label,
            label,
            label,
            meaning.rstrip("."),
            component.better,
            component.lowest,
            component.highest,
            unit=component.unit,
            formula=component.formula,
            fooled_by=component.fooled_by,
            source=component.source,
            version=component.version,
            function=lambda source: scored(component, source.data),
        )
    )
    return group


def declaration_faults(component: Metric) -> list[str]:
    """Return what makes a declaration unusable, with the fix."""
    faults = []
    if component.better not in get_args(Better):
        faults.append(f"better is {component.better!r}; use one of {', '.join(get_args(Better))}")
    if not component.lowest < component.highest:
        ends = f"lowest is {component.lowest!r} and highest {component.highest!r}"
        faults.append(f"{ends}; declare the range of its values, infinity for no limit")
    return faults


def scored(component: Metric, data: MetricInput) -> Tensor:
    """Call the plugin and check its result. Raises `PluginError` that says what to fix."""
    from gvr_bench.registry.explainer_contract import MutationGuard

    guard = MutationGuard(data.model, data.image, data.target)
    values = component.score(data)
    for violation in chain(value_violations(component, values, data), guard.violations()):
        raise PluginError(str(violation))
    return values


def value_violations(component: Metric, values: object, data: MetricInput) -> Iterator[Violation]:
    """Check what was returned for N explanations, the most serious first."""
    import torch

    from gvr_bench.registry.explainer_contract import Violation

    if not isinstance(values, torch.Tensor):
        problem = f"returned {type(values).__name__}, not a tensor"
        yield Violation("returns", problem, "end with return torch.as_tensor(values)")
        return
    if tuple(values.shape) != (len(data),):
        problem = f"returned shape {tuple(values.shape)}, not {(len(data),)}"
        yield Violation("shape", problem, "return one value per image")
        return
    numbers = values.detach().double()
    known = numbers[~numbers.isnan()]
    if bool(known.isinf().any()):
        fix = "return NaN where an image has no value"
        yield Violation("finite", "returned infinity", fix)
        return
    low, high = component.lowest, component.highest
    outside = known[(known < low - ROUNDING) | (known > high + ROUNDING)]
    if len(outside):
        ends = " to ".join("infinity" if math.isinf(end) else f"{end:g}" for end in (low, high))
        problem = f"returned {outside[0].item():.6g}, outside of {ends}"
        yield Violation("range", problem, "declare lowest and highest as they are")
