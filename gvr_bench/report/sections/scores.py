"""What the scores of the tables mean."""

from __future__ import annotations

from collections.abc import Mapping

from gvr_bench.metrics import DECLARED
from gvr_bench.report.data import ReportData
from gvr_bench.report.metric_info import in_order
from gvr_bench.report.sections import ReportSection


def _content(data: ReportData) -> Mapping[str, object]:
    """The declared metrics of all columns, by group."""
    tables = (*data.models, *data.boards)
    names = dict.fromkeys(column.metric for table in tables for column in table.columns)
    metrics = [DECLARED[name] for name in names if name in DECLARED]
    groups = in_order({metric.group for metric in metrics})
    return {"declared": [(g, [m for m in metrics if m.group == g.name]) for g in groups]}


SECTION = ReportSection(
    "metrics.html.j2", "scores", "Scores", order=90, content=_content, several_runs=True
)
