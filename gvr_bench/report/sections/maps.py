"""The picture table: maps of all explainers for the first cases of each model."""

from __future__ import annotations

from collections.abc import Mapping

from gvr_bench.report.cases.maps import maps
from gvr_bench.report.data import ReportData
from gvr_bench.report.sections import ReportSection

MAX_ROWS = 24  # of the tables of all models together, about


def _content(data: ReportData) -> Mapping[str, object]:
    rows = max(3, min(12, MAX_ROWS // max(1, len(data.combinations))))
    return {"maps": maps(data.combinations, rows)}


SECTION = ReportSection("maps.html.j2", "maps", "Maps", order=30, content=_content)
