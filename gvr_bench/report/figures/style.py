"""What all figures share: sizes, colours, fonts, ticks, rows of explainers.

`assets/colours.css` has the colours of both themes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from gvr_bench.report import formatting as text
from gvr_bench.report.file_names import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Canvas: TypeAlias = "Figure"
WIDTH, SQUARE, FLAT, ROW = 3.8, 3.7, 2.1, 0.24  # inches
LETTER = 0.072  # inches, about
COLOURS = {
    "paper": "#fcfbf8", "ink": "#1f1e1b", "muted": "#67635b", "rule": "#e2dfd6",
    "purple": "#6d3fc4", "held-out": "#b35c00",
    "class-0": "#6141b9", "class-1": "#296f16", "class-2": "#c0727e", "class-3": "#05454e",
    "class-4": "#4097bd", "class-5": "#67260c", "class-6": "#768b09", "class-7": "#7a7af5",
    "class-8": "#7d5c7a", "class-9": "#332d83",
}  # fmt: skip
"""Colours by the CSS variables that replace them in a page."""

PAPER, INK, MUTED, RULE, ACCENT, SECOND = list(COLOURS.values())[:6]
RC: dict[Any, Any] = {
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


@contextmanager
def style(salt: str = "gvr-bench") -> Iterator[None]:
    """In which figures are drawn and written; names in an SVG begin with the `salt`."""
    from matplotlib import rc_context

    with rc_context({**RC, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def short(name: str, length: int = 28) -> str:
    return text.short(printable(name), length)


def signed(value: float, decimals: int = 2) -> str:
    return text.number(value, decimals).replace("-", "−")


def axes_of(figure: Figure, x_title: str, y_title: str) -> Axes:
    axes = figure.add_subplot()
    axes.set(xlabel=x_title, ylabel=y_title)
    return axes


def unit_square(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")


def explainer_rows(axes: Axes, names: Sequence[str], controls: Sequence[bool] = ()) -> None:
    """A row per explainer from the top; controls are muted."""
    axes.set_yticks(range(len(names)), [short(name, 24) for name in names])
    for label, control in zip(axes.get_yticklabels(), controls, strict=False):
        label.set_color(MUTED if control else INK)


def round_ticks(axis: Any, log: bool, low: float, high: float) -> None:
    """Few ticks at round numbers, without mathtext."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if log:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if high / low > 300 else (1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))


def tick_label(value: float) -> str:
    """`0.02`, `10⁻⁵`, `2·10⁶`."""
    plain = f"{value:g}"
    if "e" not in plain:
        return plain.replace("-", "−")
    digits, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if digits == "1" else f"{digits}·{power}".replace("-", "−")
