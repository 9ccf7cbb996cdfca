"""The rules of every kind, for a component that is made already."""

from __future__ import annotations

from typing import Any

from gvr_bench.core.components import Component
from gvr_bench.core.types import Kind
from gvr_bench.testing.check_report import CheckResult
from gvr_bench.testing.components import Check
from gvr_bench.testing.datasets import DATASETS
from gvr_bench.testing.explainers import EXPLAINERS
from gvr_bench.testing.trained_components import ENCODERS, GENERATORS, HEADS

CHECKS: dict[Kind, Check[Any]] = {
    check.kind: check for check in (DATASETS, GENERATORS, ENCODERS, HEADS, EXPLAINERS)
}


def verdicts_of(kind: Kind, component: Component, whose: str) -> list[CheckResult]:
    """Hold a component to the rules of its kind; `whose` begins each message."""
    return CHECKS[kind].verdicts(component, {}, whose)
