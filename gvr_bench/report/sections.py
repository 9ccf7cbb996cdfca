"""The sections of a report's page, in order, each with what fills its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gvr_bench.config.metric_choice import declaration_of
from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.cases.gallery import galleries
from gvr_bench.report.cases.maps import Maps, maps
from gvr_bench.report.data import ReportData
from gvr_bench.report.figures import Chart, Source, charts, model_name
from gvr_bench.report.figures.svg import on_page
from gvr_bench.report.formatting import grouped
from gvr_bench.report.metric_info import in_order
from gvr_bench.report.page import Section

CASES_SHOWN, MAX_PAIRS = 3, 8


def _overview(data: ReportData) -> Mapping[str, object]:
    warnings = data.warnings if len(data.runs) == 1 else []
    return {"runs": data.runs, "overviews": drawn(data, "overview"), "warnings": warnings}


def _models(data: ReportData) -> Mapping[str, object]:
    return {
        "models": data.models,
        "model_views": _model_views(_source(data).models),
        "model_figures": drawn(data, "models"),
        "training": drawn(data, "training"),
    }


def _model_views(models: Sequence[Combination]) -> list[Mapping[str, object]]:
    """What else is known of each model; images that an earlier one has shown are left out.

    `pairs` are names of images, inputs and reconstructions.
    """
    views: list[Mapping[str, object]] = []
    shown: set[object] = set()
    for c in models:
        decoded = () if c.reconstruction is None else c.reconstruction[:MAX_PAIRS]
        images = zip(c.sample_id, c.input, decoded, strict=False)
        pictures = {
            "pairs": tuple((name, _uri(image), _uri(other)) for name, image, other in images),
            "samples": tuple(map(_uri, () if c.samples is None else c.samples)),
        }
        fresh = {kind: () if of in shown else of for kind, of in pictures.items()}
        views.append({"title": model_name(c), "notes": c.notes, **fresh})
        shown |= set(pictures.values())
    return views


def _uri(image: map_colours.Bytes) -> str:
    return map_colours.uri(map_colours.plain(image))


def _source(data: ReportData) -> Source:
    """What figures are drawn from: of several runs they compare explainers alone."""
    if len(data.runs) > 1:
        return Source((), data.boards)
    return Source(data.combinations, data.boards, data.run.records, data.run.values)


def drawn(data: ReportData, section: str) -> list[tuple[str, list[tuple[Chart, Markup]]]]:
    """The figures of a section by the model or scoreboard that they are about."""
    pictures = [
        (chart.about, (chart, on_page(chart, f"{section}-{number}")))
        for number, chart in enumerate(charts(_source(data), section))
    ]
    return list(grouped(pictures).items())


def _metrics(data: ReportData) -> Mapping[str, object]:
    tables = (*data.models, *data.boards)
    names = dict.fromkeys(column.metric for table in tables for column in table.columns)
    metrics = [known for name in names if (known := declaration_of(name))]
    groups = in_order({metric.group for metric in metrics})
    return {"declared": [(g, [m for m in metrics if m.group == g.name]) for g in groups]}


def _maps(data: ReportData) -> list[Maps]:
    order = list(dict.fromkeys(row.names[0] for board in data.boards for row in board.rows))
    return maps(data.combinations, CASES_SHOWN, order)


OVERVIEW = Section("overview", "Overview", _overview)
PUBLISHED = Section("published", "Published numbers", lambda data: {"published": data.published})
SCOREBOARD = Section("scoreboard", "Scoreboard", lambda data: {"boards": data.boards})
MODELS = Section(
    "models", "Models", _models, "how well the explained model predicts, and how it was trained"
)
TRADEOFFS = Section(
    "tradeoffs", "Trade-offs",
    lambda data: {section: drawn(data, section) for section in ("tradeoffs", "agreement")},
    "quality against time, and how far explainers agree",
)  # fmt: skip
SCORES = Section("scores", "Glossary", _metrics, "what each score means, and what fools it")
OF_ONE_RUN = (
    OVERVIEW,
    PUBLISHED,
    Section("maps", "Maps", lambda data: {"maps": _maps(data)}),
    SCOREBOARD,
    Section(
        "cases", "Cases", lambda data: {"galleries": galleries(data.combinations, data.run.values)}
    ),
    MODELS,
    TRADEOFFS,
    SCORES,
    Section("data", "Data", lambda data: {"summaries": data.run.data},
            "how many images there are, and some of each class"),
    Section("provenance", "Provenance", lambda data: {"run": data.run},
            "spec, environment and stages"),
)  # fmt: skip
OF_SEVERAL_RUNS = (OVERVIEW, PUBLISHED, SCOREBOARD, MODELS, TRADEOFFS, SCORES)
