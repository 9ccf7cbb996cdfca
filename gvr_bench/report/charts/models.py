"""The explained models as the page shows them: charts, reconstructions, samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.charts.calibration import Predicted, Reliability, predicted, reliability
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.charts.roc import RocChart, roc_chart
from gvr_bench.report.charts.space import SpaceChart, space_chart
from gvr_bench.results.records import Record

T = TypeVar("T")

_PAIRS, _EDGE = 8, 128


@dataclass(frozen=True)
class Reconstructed:
    """An input above what the generator makes of its latent, as data URIs."""

    name: str
    input: str
    reconstruction: str


@dataclass(frozen=True)
class ModelView:
    """One explained model; what an earlier one has shown already is empty."""

    title: str
    roc: RocChart | None
    reliability: Reliability | None
    predicted: tuple[Predicted, ...]
    space: SpaceChart | None
    pairs: tuple[Reconstructed, ...]
    samples: tuple[str, ...]
    crisp: bool

    @property
    def charted(self) -> bool:
        """Whether there is a chart of its predictions or latents."""
        return bool(self.roc or self.reliability or self.predicted or self.space)

    @property
    def shown(self) -> bool:
        """Whether there is anything of it to see."""
        return self.charted or bool(self.pairs or self.samples)


def model_views(combinations: Sequence[Combination], records: Sequence[Record]) -> list[ModelView]:
    """Draw all that is known of each model apart from its scores."""
    seen: set[object] = set()

    def once(items: tuple[T, ...]) -> tuple[T, ...]:
        found = () if items in seen else items
        seen.add(items)
        return found

    return [
        ModelView(
            title=whose(c),
            roc=roc_chart(c, records),
            reliability=reliability(c),
            predicted=tuple(predicted(c)),
            space=space_chart(c),
            pairs=once(_pairs(c)),
            samples=once(_samples(c)),
            crisp=pictures.is_crisp(c.size),
        )
        for c in combinations
    ]


def _pairs(c: Combination) -> tuple[Reconstructed, ...]:
    if c.reconstruction is None:
        return ()
    cases = zip(c.sample_id, c.input, c.reconstruction, strict=True)
    return tuple(
        Reconstructed(name, pictures.plain(image, _EDGE), pictures.plain(made, _EDGE))
        for _, (name, image, made) in zip(range(_PAIRS), cases, strict=False)
    )


def _samples(c: Combination) -> tuple[str, ...]:
    return () if c.samples is None else tuple(pictures.plain(one, _EDGE) for one in c.samples)
