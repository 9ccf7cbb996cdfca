"""The gallery of cases."""

from __future__ import annotations

from gvr_bench.report.cases.gallery import galleries
from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "cases.html.j2",
    "cases",
    "Cases",
    order=40,
    content=lambda data: {"galleries": galleries(data.combinations, data.run.values)},
)
