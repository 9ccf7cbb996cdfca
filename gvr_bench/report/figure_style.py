"""Colours, ticks and names that all figures share; `assets/colours.css` has both themes."""

from __future__ import annotations

from typing import Any

from gvr_bench.report.file_names import printable
from gvr_bench.report.formatting import short as shortened

COLOURS = {
    "paper": "#fcfbf8", "ink": "#1f1e1b", "muted": "#67635b", "rule": "#e2dfd6",
    "purple": "#6d3fc4", "held-out": "#b35c00",
    "class-0": "#6141b9", "class-1": "#296f16", "class-2": "#c0727e", "class-3": "#05454e",
    "class-4": "#4097bd", "class-5": "#67260c", "class-6": "#768b09", "class-7": "#7a7af5",
    "class-8": "#7d5c7a", "class-9": "#332d83",
}  # fmt: skip
"""Colours by the CSS variables that replace them in a page."""

PAPER, INK, MUTED, RULE, ACCENT, SECOND = list(COLOURS.values())[:6]


def short(name: str, length: int = 28) -> str:
    """A name that a figure has room for and can draw."""
    return shortened(printable(name), length)


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
