"""Every installed explainer passes all checks."""

from __future__ import annotations

import pytest

from gvr_bench.registry.registry import installed
from gvr_bench.testing import assert_passes, check_explainer

SLOW = {"gvr", "gvr-robust", "kernel-shap"}  # searches, and many samples
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in installed().names("explainer")
]


@pytest.mark.parametrize("name", NAMES)
def test_installed_explainers_pass_all_checks(name: str) -> None:
    cls, settings = installed().settings("explainer", name, "quick", {})
    assert_passes(check_explainer(cls(settings)))
