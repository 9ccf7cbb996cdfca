"""The runs of a shared page, with their overviews and conclusions."""

from __future__ import annotations

from gvr_bench.report.page_figures import overview_pictures
from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "runs.html.j2",
    "overview",
    "Overview",
    order=11,
    content=lambda data: {
        "runs": data.runs,
        "overviews": overview_pictures(data.boards),
        "conclusions": data.conclusions,
    },
    one_run=False,
    several_runs=True,
)
