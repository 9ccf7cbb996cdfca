"""Spec, environment and stages of a run."""

from __future__ import annotations

from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "provenance.html.j2",
    "provenance",
    "Provenance",
    order=80,
    content=lambda data: {"run": data.run},
)
