"""What a page shows of the explained models, and of explainers against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.explainer_comparison import agreement, tradeoffs
from gvr_bench.report.figure_data import Chart, model_name, training
from gvr_bench.report.figures import Picture, model_charts, picture
from gvr_bench.report.overview_figure import overview
from gvr_bench.report.tables import Table
from gvr_bench.results.records import Record

MAX_PAIRS, EDGE = 8, 128


@dataclass(frozen=True)
class ModelView:
    """One explained model; images that an earlier one has shown are left out.

    `pairs` holds names of images, inputs and reconstructions.
    """

    title: str
    notes: tuple[str, ...]
    pairs: tuple[tuple[str, str, str], ...]
    samples: tuple[str, ...]


def model_views(combinations: Sequence[Combination]) -> list[ModelView]:
    """What is known of each model apart from its scores and figures."""
    views: list[ModelView] = []
    for c in combinations:
        pairs, samples = _pairs(c), _samples(c)
        if any(pairs == view.pairs for view in views):
            pairs = ()
        if any(samples == view.samples for view in views):
            samples = ()
        views.append(ModelView(model_name(c), c.notes, pairs, samples))
    return views


def _pairs(c: Combination) -> tuple[tuple[str, str, str], ...]:
    if c.reconstruction is None:
        return ()
    columns = (c.sample_id[:MAX_PAIRS], c.input[:MAX_PAIRS], c.reconstruction[:MAX_PAIRS])
    return tuple((name, _uri(x), _uri(y)) for name, x, y in zip(*columns, strict=True))


def _samples(c: Combination) -> tuple[str, ...]:
    images = () if c.samples is None else c.samples
    return tuple(map(_uri, images))


def _uri(image: pictures.Bytes) -> str:
    return pictures.uri(pictures.plain(image, EDGE))


Titled = list[tuple[str, list[Picture]]]


def model_pictures(combinations: Sequence[Combination], records: Sequence[Record]) -> Titled:
    """How well each model predicts."""
    return _drawn("model", (chart for c in combinations for chart in model_charts(c, records)))


def training_pictures(combinations: Sequence[Combination]) -> Titled:
    """Losses by model."""
    return _drawn("training", training(combinations))


def tradeoff_pictures(boards: Sequence[Table]) -> Titled:
    """Trade-offs by scoreboard."""
    charts = (replace(chart, model=board.title) for board in boards for chart in tradeoffs(board))
    return _drawn("tradeoff", charts)


def _drawn(name: str, charts: Iterable[Chart]) -> Titled:
    """Pictures by the model that they are about."""
    by_model: dict[str, list[Picture]] = {}
    for number, chart in enumerate(charts):
        by_model.setdefault(chart.model, []).append(picture(chart, f"{name}-{number}"))
    return list(by_model.items())


def overview_pictures(boards: Sequence[Table]) -> list[tuple[str, Picture]]:
    """The overview of each scoreboard."""
    charts = [(board.title, chart) for board in boards if (chart := overview(board))]
    return [(title, picture(chart, f"overview-{n}")) for n, (title, chart) in enumerate(charts)]


def agreement_pictures(combinations: Sequence[Combination]) -> list[tuple[str, Picture]]:
    """Agreement between the explainers of each model."""
    charts = filter(None, map(agreement, combinations))
    return [(chart.model, picture(chart, f"agreement-{n}")) for n, chart in enumerate(charts)]
