"""Which images a run saw: counts of each split, and a few of each class."""

from __future__ import annotations

from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "datasets.html.j2",
    "data",
    "Data",
    order=55,
    content=lambda data: {"summaries": data.run.data},
)
