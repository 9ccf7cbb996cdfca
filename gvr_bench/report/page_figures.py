"""What a page shows of the explained models, and of explainers against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.explainer_comparison import agreement, tradeoffs
from gvr_bench.report.figure_data import model_name, training
from gvr_bench.report.figures import Picture, model_charts, picture
from gvr_bench.report.overview_figure import overview
from gvr_bench.report.tables import Table
from gvr_bench.results.records import Record

MAX_PAIRS, EDGE = 8, 128


@dataclass(frozen=True)
class Reconstructed:
    """An input and its reconstruction, as data URIs."""

    name: str
    input: str
    reconstruction: str


@dataclass(frozen=True)
class ModelView:
    """One explained model; images that an earlier one has shown are left out."""

    title: str
    notes: tuple[str, ...]
    charts: tuple[Picture, ...]
    pairs: tuple[Reconstructed, ...]
    samples: tuple[str, ...]
    crisp: bool


def model_views(combinations: Sequence[Combination], records: Sequence[Record]) -> list[ModelView]:
    """Draw all that is known of each model apart from its scores."""
    views: list[ModelView] = []
    for number, c in enumerate(combinations):
        pairs, samples = _pairs(c), _samples(c)
        views.append(
            ModelView(
                model_name(c),
                c.notes,
                tuple(
                    picture(chart, f"model-{number}-{i}")
                    for i, chart in enumerate(model_charts(c, records))
                ),
                () if any(pairs == view.pairs for view in views) else pairs,
                () if any(samples == view.samples for view in views) else samples,
                pictures.is_crisp(c.size),
            )
        )
    return views


def _pairs(c: Combination) -> tuple[Reconstructed, ...]:
    if c.reconstruction is None:
        return ()
    cases = zip(
        c.sample_id[:MAX_PAIRS], c.input[:MAX_PAIRS], c.reconstruction[:MAX_PAIRS], strict=True
    )
    return tuple(
        Reconstructed(name, pictures.plain(image, EDGE), pictures.plain(decoded, EDGE))
        for name, image, decoded in cases
    )


def _samples(c: Combination) -> tuple[str, ...]:
    return () if c.samples is None else tuple(pictures.plain(sample, EDGE) for sample in c.samples)


Titled = list[tuple[str, list[Picture]]]


def training_pictures(combinations: Sequence[Combination]) -> Titled:
    """Losses by model."""
    by_model: dict[str, list[Picture]] = {}
    for number, chart in enumerate(training(combinations)):
        by_model.setdefault(chart.model, []).append(picture(chart, f"training-{number}"))
    return list(by_model.items())


def overview_pictures(boards: Sequence[Table]) -> list[tuple[str, Picture]]:
    """The overview of each scoreboard."""
    charts = [(board.title, chart) for board in boards if (chart := overview(board))]
    return [(title, picture(chart, f"overview-{n}")) for n, (title, chart) in enumerate(charts)]


def tradeoff_pictures(boards: Sequence[Table]) -> Titled:
    """Trade-offs by scoreboard."""
    pictures_of = [
        (board.title, [picture(chart, f"tradeoff-{n}-{i}") for i, chart in enumerate(charts)])
        for n, (board, charts) in enumerate((board, tradeoffs(board)) for board in boards)
    ]
    return [(title, drawn) for title, drawn in pictures_of if drawn]


def agreement_pictures(combinations: Sequence[Combination]) -> list[tuple[str, Picture]]:
    """Agreement between the explainers of each model."""
    charts = filter(None, map(agreement, combinations))
    return [(chart.model, picture(chart, f"agreement-{n}")) for n, chart in enumerate(charts)]
