"""Every chart of a page as a figure of its own, and as an SVG file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.charts.agreement import agreement
from gvr_bench.report.charts.calibration import predicted, reliability
from gvr_bench.report.charts.naming import whose
from gvr_bench.report.charts.roc import roc_chart
from gvr_bench.report.charts.space import space_chart
from gvr_bench.report.charts.tradeoff import tradeoffs
from gvr_bench.report.charts.training import training
from gvr_bench.report.folder import Run
from gvr_bench.report.page import environment
from gvr_bench.report.scores.tables import Table

_VARIABLE = re.compile(r"(--[\w-]+)\s*:\s*([^;]+);")
_EITHER = re.compile(r"light-dark\(([^,]+),[^)]+\)")
_USE = re.compile(r"var\((--[\w-]+)\)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WHITE = "#ffffff"


@dataclass(frozen=True)
class Figure:
    """A chart: `name` is a file's name without its ending, `svg` the markup as on the page."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class _Drawn:
    """A chart before its markup: the macro of the template that draws it, and of what."""

    kind: str
    title: str
    of: str
    template: str
    item: object
    shown: int | None = None


def figures(run: Run, combinations: Sequence[Combination], boards: Sequence[Table]) -> list[Figure]:
    """All charts of a run's page in its order; the same run gives the same names and bytes.

    Names tell models apart where there are several.
    """
    drawn = [*_of_models(run, combinations), *_of_explainers(combinations, boards)]
    several = len({one.of for one in drawn if one.of}) > 1
    taken: dict[str, int] = {}
    found = []
    for one in drawn:
        name = slug(f"{one.kind} {one.of}" if several else one.kind)
        taken[name] = taken.get(name, 0) + 1
        name = name if taken[name] == 1 else f"{name}-{taken[name]}"
        title = f"{one.title}: {one.of}" if one.of else one.title
        found.append(Figure(name, title, _markup(one, name)))
    return found


def _of_models(run: Run, combinations: Sequence[Combination]) -> Iterator[_Drawn]:
    for c in combinations:
        of = whose(c)
        if (roc := roc_chart(c, run.records)) and roc.lines:
            yield _Drawn("roc", "ROC curve", of, "roc", roc)
        if found := reliability(c):
            yield _Drawn("calibration", "Calibration", of, "reliability", found)
        for one in predicted(c):
            yield _Drawn("predicted", "Predicted against true", of, "predicted", one)
        if space := space_chart(c):
            for number, journey in enumerate(space.journeys):
                about = f"Latent space with the counterfactuals of {journey.explainer}"
                kind = f"latent space {journey.explainer}"
                yield _Drawn(kind, about, of, "space", space, number)
            if not space.journeys:
                yield _Drawn("latent space", "Latent space", of, "space", space)
    for of, charts in training(combinations):
        for chart in charts:
            yield _Drawn(f"training {chart.title}", f"Training, {chart.title}", of,
                         "training", chart)  # fmt: skip


def _of_explainers(
    combinations: Sequence[Combination], boards: Sequence[Table]
) -> Iterator[_Drawn]:
    for board in boards:
        for chart in tradeoffs(board):
            of = board.title if len(boards) > 1 else ""
            yield _Drawn(chart.title, chart.title, of, "scatter", chart)
    for c in combinations:
        if compared := agreement(c):
            yield _Drawn("agreement", "Agreement between explainers", whose(c),
                         "agreement", compared)  # fmt: skip


def slug(words: str) -> str:
    """Words as a file's name: lower-case ASCII letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "figure"


_FILES = {"reliability": "calibration", "predicted": "calibration"}  # else as the macro


def _markup(drawn: _Drawn, name: str) -> str:
    template = environment().get_template(f"{_FILES.get(drawn.template, drawn.template)}.html.j2")
    macro: Any = getattr(template.module, f"{drawn.template}_svg")
    more = () if drawn.shown is None else (drawn.shown,)
    return str(macro(drawn.item, name, *more)).strip()


def standalone(figure: Figure) -> str:
    """The figure as an SVG file: its own style in the light colours, on white.

    Values of CSS variables are put in, since few programs but browsers know them.
    """
    opening, body = _NOT_XML.sub("", figure.svg).split(">", 1)
    (view,) = re.findall(r'viewBox="([^"]+)"', opening)
    left, top, width, height = view.split()
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{opening.replace("<svg", f"<svg {size}", 1)}>'
        f"<style>{_style()}</style>"
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="{_WHITE}"/>'
        f"{body}\n"
    )


def _style() -> str:
    """The rules of the charts alone, with values where the page has variables."""
    assets = resources.files("gvr_bench.report") / "assets"
    page, rules = ((assets / name).read_text("utf-8") for name in ("page.css", "charts.css"))
    values = {name: value for sheet in (page, rules) for name, value in _light(sheet)}
    values["--paper"] = _WHITE
    rules = re.sub(r"/\*.*?\*/", "", rules, flags=re.DOTALL)
    charts = re.findall(r"^\.chart[^{]*\{[^}]*\}", rules, re.MULTILINE)
    return _USE.sub(lambda found: values[found[1]], "\n".join(charts))


def _light(sheet: str) -> list[tuple[str, str]]:
    """Variables of a style sheet, those for light and dark pages with the former value."""
    found = re.search(r":root\s*\{([^}]*)\}", sheet)
    return _VARIABLE.findall(_EITHER.sub(r"\1", found[1])) if found else []
