"""Every installed explainer passes all checks."""

from __future__ import annotations

from typing import Any

import pytest

from gvr_bench.registry.registry import installed
from gvr_bench.testing import assert_passes, check_explainer

# Of searches and samples a few are enough: the checks ask for no good explanation.
FEW: dict[str, dict[str, Any]] = {
    "adversarial": {"steps": 10, "views": 2},
    "dive": {"steps": 10},
    "gvr": {"steps": 20},
    "gvr-robust": {"steps": 10, "views": 2},
    "kernel-shap": {"samples": 20},
    "lime": {"samples": 50},
    "rationale-gradient": {"steps": 5},
    "rise": {"samples": 50},
    "xgem": {"steps": 10},
}


@pytest.mark.parametrize("name", installed().names("explainer"))
def test_installed_explainers_pass_all_checks(name: str) -> None:
    cls, settings = installed().settings("explainer", name, "quick", FEW.get(name, {}))
    assert_passes(check_explainer(cls(settings)))
