"""Numbers, names and durations as people read them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from markupsafe import Markup, escape

from gvr_bench.metrics import Declaration
from gvr_bench.report.metric_info import entry
from gvr_bench.report.tables import Cell, Column, Row, Table

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_BIDI = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
UP, DOWN = "↑", "↓"
ARROWS = {"up": UP, "down": DOWN, "-": ""}
DAGGER = "†"
"""Marks an uninformative column."""

_WORD_END = re.compile(r"_|[,:=](?=[^\W\d])")
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def clean(text: str) -> str:
    """One line of `text` without control characters, which a terminal would obey."""
    flat = " ".join(text.split())
    return "".join(c for c in flat if c not in _BIDI and unicodedata.category(c) != "Cc")


def isolated(name: object) -> Markup:
    """A name for a page, in its own direction of writing, which may break where its words end."""
    shown = _WORD_END.sub(r"\g<0><wbr>", str(escape(clean(str(name)))))
    return Markup(f"<bdi>{shown}</bdi>")  # noqa: S704 - escaped above


def short(name: str, length: int = 28) -> str:
    """A name of at most `length` letters, the last of them dots where it has more."""
    line = clean(name)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def digits(table: Table, index: int, significant: int = 3) -> int:
    """Decimals for a column, so that its numbers line up: `significant` digits of the largest."""
    values = [row.cells[index].value for row in table.rows]
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    return significant_decimals(max(known, default=0.0), significant)


def significant_decimals(largest: float, significant: int = 3) -> int:
    """Decimals that show so many significant digits, at most 6."""
    if largest == 0 or 0.1 <= largest < 2:
        return significant
    return min(6, max(0, significant - 1 - math.floor(math.log10(largest))))


def decimals_of(value: float) -> int:
    """Decimals of a number as it was typed, up to 6."""
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])


def places(table: Table, row: Row, index: int, significant: int = 3) -> int:
    """Decimals for a cell: its own, else its column's; costs span orders of magnitude."""
    cell = row.cells[index]
    if cell.decimals is not None:
        return cell.decimals
    if table.columns[index].group == "cost":
        return significant_decimals(abs(cell.value or 0.0), 2)
    return digits(table, index, significant)


def number(value: float, decimals: int) -> str:
    """A number with so many decimals; never -0."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(cell: Cell, decimals: int, between: str) -> str:
    """`0.790 to 0.883`, or nothing where no interval is known."""
    if cell.low is None or cell.high is None:
        return ""
    return f"{number(cell.low, decimals)}{between}{number(cell.high, decimals)}"


def outcome(cell: Cell) -> str:
    return {None: "", True: "passed", False: "not passed"}[cell.passed]


def status(cell: Cell) -> str:
    return cell.status or "–"


def heading(column: Column) -> str:
    """Title, unit and direction of a column, with a mark where it is uninformative."""
    unit = f" ({column.unit})" if column.unit else ""
    arrow = ARROWS[column.better]
    mark = DAGGER if column.separated is False else ""
    return " ".join(f"{column.title}{unit} {arrow} {mark}".split())


def raised(rank: int) -> str:
    return str(rank).translate(_RAISED)


def sentence(clause: str) -> str:
    """A clause as a sentence: with a capital, and one full stop."""
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}." if clause else ""


def value_range(metric: Declaration) -> str:
    """`0 to 1; higher is better.`"""
    low, high = metric.lowest, metric.highest
    if math.isinf(low) and math.isinf(high):
        ends = "Any number"
    elif math.isinf(high):
        ends = f"From {low:g} up"
    else:
        ends = f"Up to {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"
    better = {"up": "higher is better", "down": "lower is better", "-": "no direction is better"}
    return f"{ends}; {better[metric.better]}."


def hover(metric: str) -> str:
    it = entry(metric)
    fooled = f"Fooled by: {it.fooled_by}" if it.fooled_by else ""
    source = f"Source: {it.source}" if it.source else ""
    lines = (sentence(it.meaning), it.formula, value_range(it), fooled, source)
    return "\n".join(filter(None, lines))


def duration(seconds: float) -> str:
    """`0.4 s`, `3 min 12 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def count(number: int, noun: str) -> str:
    """`1 case`, `3 cases`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def spread(low: int, high: int) -> str:
    """`12` or `3 to 12`."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """What has one key together, in the order in which the keys appear."""
    groups: dict[K, list[V]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return groups


def listed(items: Sequence[str], limit: int = 4) -> str:
    """`a, b, c and 3 more`."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def both(items: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
