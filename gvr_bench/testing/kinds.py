"""The rules of every kind, for a component that is made already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gvr_bench.api import Component
from gvr_bench.testing.datasets import dataset_verdicts
from gvr_bench.testing.explainers import explainer_verdicts
from gvr_bench.testing.trained import encoder_verdicts, generator_verdicts, head_verdicts
from gvr_bench.testing.verdicts import Verdict
from gvr_bench.types import Kind

CHECKS: dict[Kind, Callable[[Any, str, dict[str, Any]], list[Verdict]]] = {
    "dataset": dataset_verdicts,
    "generator": generator_verdicts,
    "encoder": encoder_verdicts,
    "head": head_verdicts,
    "explainer": explainer_verdicts,
}


def verdicts_of(kind: Kind, component: Component, whose: str) -> list[Verdict]:
    """Hold a component to the rules of its kind; `whose` begins each message."""
    return CHECKS[kind](component, whose, {})
