"""The sections of a report's page, in order, each with what fills its template."""

from __future__ import annotations

from collections.abc import Mapping

from gvr_bench.config.metric_choice import declaration_of
from gvr_bench.report.cases.gallery import galleries
from gvr_bench.report.cases.maps import maps
from gvr_bench.report.data import ReportData
from gvr_bench.report.explainer_comparison import agreement, tradeoffs
from gvr_bench.report.figure_data import training
from gvr_bench.report.figures import model_charts
from gvr_bench.report.metric_info import in_order
from gvr_bench.report.overview_figure import overview
from gvr_bench.report.page import Section
from gvr_bench.report.page_figures import drawn, model_views, of_boards

CASES_SHOWN = 3


def _overview(data: ReportData) -> Mapping[str, object]:
    warnings = data.warnings if len(data.runs) == 1 else []
    overviews = drawn("overview", of_boards(data.boards, lambda board: [overview(board)]))
    return {"runs": data.runs, "overviews": overviews, "warnings": warnings}


def _maps(data: ReportData) -> Mapping[str, object]:
    order = list(dict.fromkeys(row.names[0] for board in data.boards for row in board.rows))
    return {"maps": maps(data.combinations, CASES_SHOWN, order)}


def _models(data: ReportData) -> Mapping[str, object]:
    alone = data.combinations if len(data.runs) == 1 else []
    charts = (chart for c in alone for chart in model_charts(c, data.run.records))
    return {
        "models": data.models,
        "model_views": model_views(alone),
        "model_figures": drawn("model", charts),
        "training": drawn("training", training(alone)),
    }


def _tradeoffs(data: ReportData) -> Mapping[str, object]:
    alone = data.combinations if len(data.runs) == 1 else []
    return {
        "tradeoffs": drawn("tradeoff", of_boards(data.boards, tradeoffs)),
        "agreements": drawn("agreement", map(agreement, alone)),
    }


def _metrics(data: ReportData) -> Mapping[str, object]:
    """The declared metrics of all columns, by group."""
    tables = (*data.models, *data.boards)
    names = dict.fromkeys(column.metric for table in tables for column in table.columns)
    metrics = [known for name in names if (known := declaration_of(name))]
    groups = in_order({metric.group for metric in metrics})
    return {"declared": [(g, [m for m in metrics if m.group == g.name]) for g in groups]}


OVERVIEW = Section("overview.html.j2", "overview", "Overview", _overview)
SCOREBOARD = Section(
    "scoreboard.html.j2", "scoreboard", "Scoreboard", lambda data: {"boards": data.boards}
)
PUBLISHED = Section(
    "published.html.j2",
    "published",
    "Published numbers",
    lambda data: {"published": data.published},
)
MODELS = Section(
    "models.html.j2", "models", "Models", _models, folded=True,
    summary="how well the explained model predicts, and how it was trained",
)  # fmt: skip
TRADEOFFS = Section(
    "tradeoffs.html.j2", "tradeoffs", "Trade-offs", _tradeoffs, folded=True,
    summary="quality against time, and how far explainers agree",
)  # fmt: skip
SCORES = Section(
    "metrics.html.j2", "scores", "Glossary", _metrics, folded=True,
    summary="what each score means, and what fools it",
)  # fmt: skip
OF_ONE_RUN = (
    OVERVIEW,
    PUBLISHED,
    Section("maps.html.j2", "maps", "Maps", _maps),
    SCOREBOARD,
    Section("cases.html.j2", "cases", "Cases",
            lambda data: {"galleries": galleries(data.combinations, data.run.values)}),
    MODELS,
    TRADEOFFS,
    SCORES,
    Section(
        "datasets.html.j2", "data", "Data", lambda data: {"summaries": data.run.data}, folded=True,
        summary="how many images there are, and some of each class",
    ),
    Section("provenance.html.j2", "provenance", "Provenance", lambda data: {"run": data.run},
            folded=True, summary="spec, environment and stages"),
)  # fmt: skip
OF_SEVERAL_RUNS = (OVERVIEW, PUBLISHED, SCOREBOARD, MODELS, TRADEOFFS, SCORES)
