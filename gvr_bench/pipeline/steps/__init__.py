"""What each kind of stage computes: one module per group of kinds, each with its `STEPS`."""

from __future__ import annotations

import importlib
import pkgutil

from gvr_bench.pipeline.stage_context import Step


def _declared() -> dict[str, Step]:
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {step.kind: step for module in modules for step in getattr(module, "STEPS", ())}


STEPS = _declared()
