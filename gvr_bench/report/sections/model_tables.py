"""The scores of the models of several runs."""

from __future__ import annotations

from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "model_tables.html.j2",
    "models",
    "Models",
    order=51,
    content=lambda data: {"models": data.models},
    one_run=False,
    several_runs=True,
)
