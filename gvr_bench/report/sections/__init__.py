"""The sections of a report's page: one module each, with a template of the same name.

A module declares itself by its `SECTION`; nothing else lists it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gvr_bench.report.data import ReportData
from gvr_bench.report.page import Section


@dataclass(frozen=True, kw_only=True)
class ReportSection(Section):
    """A section with what fills its template, sorted by `order` among all of its page."""

    order: int
    content: Callable[[ReportData], Mapping[str, object]]
    one_run: bool = True
    several_runs: bool = False


def report_sections() -> list[ReportSection]:
    """The `SECTION` of every module of this package, in order."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return sorted((module.SECTION for module in modules), key=lambda section: section.order)
