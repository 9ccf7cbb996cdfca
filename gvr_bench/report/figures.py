"""Draws charts with matplotlib: as SVG in the theme of a page, and as files for papers.

matplotlib is imported when the first chart is drawn.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gvr_bench.report.cases.reading import Combination
from gvr_bench.report.explainer_comparison import Agreement, agreement, tradeoffs
from gvr_bench.report.figure_artists import ARTISTS, SQUARE, WIDTH
from gvr_bench.report.figure_data import Chart, training
from gvr_bench.report.figure_style import COLOURS, INK, MUTED, RULE
from gvr_bench.report.file_names import printable
from gvr_bench.report.overview_figure import Overview, overview
from gvr_bench.report.panel_figures import curves, outputs, random_weights, sizes
from gvr_bench.report.paper_figures import case_grid, critical_difference, funnel
from gvr_bench.report.prediction_quality import calibration, regressions, roc
from gvr_bench.report.tables import Table
from gvr_bench.results.case_scores import RunValues
from gvr_bench.results.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
ZOOM = 1.3  # pixels of a page per point of a figure
STYLE: dict[Any, Any] = {
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "font.family": "DejaVu Sans",  # which matplotlib brings along
    "font.size": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.borderpad": 0.1,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # TrueType, as journals ask for
    "savefig.dpi": 400,
    "svg.fonttype": "none",  # text stays text
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a $
    "xtick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
}
SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Picture:
    """A chart as a page shows it."""

    title: str
    caption: str
    note: str
    svg: Markup
    wide: bool = False


def model_charts(c: Combination, records: Sequence[Record]) -> Iterator[Chart]:
    """The charts of one explained model, training apart."""
    yield from filter(None, (roc(c, records), calibration(c)))
    yield from regressions(c)


def all_charts(
    combinations: Sequence[Combination],
    records: Sequence[Record],
    boards: Sequence[Table],
    values: RunValues,
    cases: Sequence[str] = (),
    explainers: Sequence[str] = (),
) -> Iterator[Chart]:
    """All charts of a run for files, with maps of the chosen cases and explainers."""
    for c in combinations:
        yield from model_charts(c, records)
    yield from training(combinations)
    for board in boards:
        drawn = (
            overview(board), critical_difference(board), sizes(board, combinations),
            outputs(board, records), random_weights(board), *tradeoffs(board),
        )  # fmt: skip
        for chart in filter(None, drawn):
            yield replace(chart, model=board.title if len(boards) > 1 else "")
    for c in combinations:
        of_cases = agreement(c), funnel(c, values), curves(c), case_grid(c, cases, explainers)
        yield from filter(None, of_cases)


def draw(chart: Chart, titled: bool = False) -> Figure:
    """Draw a chart; a `titled` one says in the picture what it shows, and of how many cases."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(WIDTH, SQUARE), layout="constrained")
        ARTISTS[type(chart.data)](figure, chart.data)
        if titled:
            width = int(16 * figure.get_figwidth())
            lines = textwrap.wrap(printable(f"{chart.title}. {chart.caption}"), width)
            figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8)
    return figure


@contextmanager
def _style(salt: str = "gvr-bench") -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def to_bytes(figure: Figure, file_format: str, salt: str = "gvr-bench") -> bytes:
    """A file of one of `FORMATS` on white; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    with _style(salt):
        figure.savefig(
            buffer, format=file_format, metadata=metadata[file_format], facecolor="white"
        )
    return buffer.getvalue()


def picture(chart: Chart, name: str) -> Picture:
    """Draw a chart for a page, on which `name` is given once."""
    label = f"{chart.title}. {chart.caption}. {chart.description}"
    svg = themed(to_bytes(draw(chart), "svg", name), printable(label))
    wide = isinstance(chart.data, (Agreement, Overview))
    return Picture(chart.title, chart.caption, chart.note, svg, wide)


def themed(svg: bytes, label: str) -> Markup:
    """SVG for a page: no styles, which its policy forbids, and variables for its colours.

    `label` is the text alternative.
    """
    root = ET.fromstring(svg)  # noqa: S314 - matplotlib wrote it
    for element in list(root.iter()):
        element.tag = element.tag.removeprefix(SVG)
        for child in list(element):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                element.remove(child)
        _plain_attributes(element)
    for group in root.iter("g"):
        _share_attributes(group)
    _, _, width, height = root.attrib["viewBox"].split()
    size = {"width": f"{ZOOM * float(width):.0f}", "height": f"{ZOOM * float(height):.0f}"}
    root.attrib = {"viewBox": root.attrib["viewBox"], **size, "role": "img", "aria-label": label}
    text = ET.tostring(root, encoding="unicode")
    variables = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
    variables["#ffffff"] = "none"  # the background
    text = re.sub(r'"(#[0-9a-f]{6})"', lambda m: f'"{variables.get(m[1], m[1])}"', text)
    return Markup(re.sub(r">\s+<", "><", text))  # noqa: S704 - escaped by ElementTree


def _plain_attributes(element: ET.Element) -> None:
    """Attributes in place of `style`, numbers of two decimals, no names of groups."""
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = map(str.strip, declaration.partition(":"))
        if name == "font":
            element.set("font-size", re.findall(r"[\d.]+px", value)[0])
        elif name:
            element.set(name, value)
    if reference := element.attrib.pop(HREF, ""):
        element.set("href", reference)
    if element.tag == "g":
        element.attrib.pop("id", None)
    for name in ("d", "x", "y", "transform"):
        if name in element.attrib:
            short = re.sub(r"-?\d+\.\d{2,}", lambda m: f"{float(m[0]):.2f}", element.attrib[name])
            element.set(name, " ".join(short.split()))


def _share_attributes(group: ET.Element) -> None:
    """Put what all marks of a group have in common on the group."""
    marks = list(group)
    if len(marks) < 2 or any(mark.tag != "use" for mark in marks):
        return
    for name, value in list(marks[0].attrib.items()):
        if name not in ("x", "y") and name != "href" and all(m.get(name) == value for m in marks):
            group.set(name, value)
            for mark in marks:
                del mark.attrib[name]
