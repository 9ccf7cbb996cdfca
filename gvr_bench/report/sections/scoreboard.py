"""The scoreboards of the explainers."""

from __future__ import annotations

from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "scoreboard.html.j2",
    "scoreboard",
    "Scoreboard",
    order=20,
    content=lambda data: {"boards": data.boards},
    several_runs=True,
)
