"""What a page shows of the explained models, and of explainers against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.figure_data import Chart, model_name
from gvr_bench.report.figures import Picture, picture
from gvr_bench.report.tables import Table

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


def drawn(name: str, charts: Iterable[Chart | None]) -> list[tuple[str, list[Picture]]]:
    """Pictures by the model or scoreboard that they are about."""
    by_model: dict[str, list[Picture]] = {}
    for number, chart in enumerate(filter(None, charts)):
        by_model.setdefault(chart.model, []).append(picture(chart, f"{name}-{number}"))
    return list(by_model.items())


def of_boards(
    boards: Iterable[Table], charts: Callable[[Table], Iterable[Chart | None]]
) -> Iterator[Chart]:
    """Charts of scoreboards that go by their titles."""
    for board in boards:
        yield from (replace(chart, model=board.title) for chart in charts(board) if chart)
