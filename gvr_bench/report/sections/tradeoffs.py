"""Scores of explainers against each other, and how far their maps agree."""

from __future__ import annotations

from collections.abc import Mapping

from gvr_bench.report.data import ReportData
from gvr_bench.report.page_figures import agreement_pictures, tradeoff_pictures
from gvr_bench.report.sections import ReportSection


def _content(data: ReportData) -> Mapping[str, object]:
    alone = len(data.runs) == 1
    return {
        "tradeoffs": tradeoff_pictures(data.boards),
        "agreements": agreement_pictures(data.combinations) if alone else [],
    }


SECTION = ReportSection(
    "tradeoffs.html.j2", "tradeoffs", "Trade-offs", order=60, content=_content, several_runs=True
)
