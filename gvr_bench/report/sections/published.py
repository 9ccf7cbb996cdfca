"""Published numbers beside those of the run."""

from __future__ import annotations

from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "published.html.j2",
    "published",
    "Published",
    order=70,
    content=lambda data: {"published": data.published},
    several_runs=True,
)
