"""The figures of a report: one module each, which says in `FIGURE` what it is drawn of, and where.

To add a figure, add a module.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from gvr_bench.report.cases.cases_file import Combination
from gvr_bench.report.tables import Table
from gvr_bench.results.case_scores import RunValues
from gvr_bench.results.records import Record

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Chart:
    """A figure in words, and the `data` that draws itself into it.

    `name` begins its file name; `description` says in words what a picture shows; `about` is the
    model or the scoreboard, and empty where that is clear. A `wide` figure may scroll.
    """

    name: str
    title: str
    caption: str
    description: str
    data: Any
    note: str = ""
    about: str = ""
    wide: bool = False

    def draw(self, figure: matplotlib.figure.Figure) -> None:
        self.data.draw(figure)


@dataclass(frozen=True)
class Source:
    """What figures are drawn from; maps are of the chosen `cases` and `explainers`, if any."""

    models: Sequence[Combination]
    boards: Sequence[Table]
    records: Sequence[Record] = ()
    values: RunValues = field(default_factory=RunValues)
    cases: Sequence[str] = ()
    explainers: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """A kind of figure: `charts` makes those of each model or board, None where it says nothing.

    `section` is the part of a page that shows it, in the order of their places; figures without
    one are exported only.
    """

    of: Literal["model", "board"]
    charts: Callable[[Any, Source], Iterable[Chart | None]]
    section: str = ""
    place: int = 0


@cache
def all_figures() -> tuple[Figure, ...]:
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    figures = [module.FIGURE for module in modules if hasattr(module, "FIGURE")]
    return tuple(sorted(figures, key=lambda figure: figure.place))


def charts(source: Source, section: str | None = None) -> Iterator[Chart]:
    """All charts, or those of a section of a page."""
    for figure in all_figures():
        if section in (None, figure.section):
            subjects = source.models if figure.of == "model" else source.boards
            for subject in subjects:
                about = model_name(subject) if isinstance(subject, Combination) else subject.title
                if figure.of == "board" and len(source.boards) < 2:
                    about = ""
                of_subject = filter(None, figure.charts(subject, source))
                yield from (replace(chart, about=about) for chart in of_subject)


def model_name(c: Combination) -> str:
    return f"{c.model} on {c.dataset}, seed {c.seed}"
