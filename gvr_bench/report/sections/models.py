"""How well the explained models predict, and how they were trained."""

from __future__ import annotations

from gvr_bench.report.page_figures import model_views, training_pictures
from gvr_bench.report.sections import ReportSection

SECTION = ReportSection(
    "models.html.j2",
    "models",
    "Models",
    order=50,
    content=lambda data: {
        "models": data.models,
        "model_views": model_views(data.combinations, data.run.records),
        "training": training_pictures(data.combinations),
    },
)
