"""Charts as files for papers, and as SVG in the theme of a page.

matplotlib is imported when the first chart is drawn.
"""

from __future__ import annotations

import io
import re
import textwrap
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.style import COLOURS, SQUARE, WIDTH, style
from gvr_bench.report.file_names import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
METADATA = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
ZOOM = 1.3  # pixels of a page per point of a figure
SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def draw(chart: Chart, titled: bool = False) -> Figure:
    """Draw a chart; a `titled` one says in the picture what it shows, and of how many cases."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(WIDTH, SQUARE), layout="constrained")
        chart.draw(figure)
        if titled:
            width = int(16 * figure.get_figwidth())
            lines = textwrap.wrap(printable(f"{chart.title}. {chart.caption}"), width)
            figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=8)
    return figure


def to_bytes(figure: Figure, file_format: str, salt: str = "gvr-bench") -> bytes:
    """A file of one of `FORMATS` on white; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = METADATA[file_format]
    with style(salt):
        if file_format == "svg":  # savefig would lay out and draw twice
            from matplotlib.backends.backend_svg import FigureCanvasSVG

            figure.set_facecolor("white")
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(buffer, metadata=metadata)
        else:
            figure.savefig(buffer, format=file_format, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def on_page(chart: Chart, name: str) -> Markup:
    """Draw a chart for a page, on which `name` is given once.

    It has no styles, which the policy of the page forbids, and variables for its colours.
    """
    root = ET.fromstring(to_bytes(draw(chart), "svg", name))  # noqa: S314 - matplotlib wrote it
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
    label = printable(f"{chart.title}. {chart.caption}. {chart.description}")
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
