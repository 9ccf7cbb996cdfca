"""All explainers on all questions, an example case, conclusions and warnings of one run."""

from __future__ import annotations

from gvr_bench.report.cases.example_case import first_case
from gvr_bench.report.page_figures import overview_pictures
from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "overview.html.j2",
    "overview",
    "Overview",
    order=10,
    content=lambda data: {
        "overviews": overview_pictures(data.boards),
        "conclusions": data.conclusions,
        "warnings": data.warnings,
        "first": first_case(data.combinations, data.boards),
    },
)
