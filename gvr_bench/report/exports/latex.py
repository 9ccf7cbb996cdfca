"""Tables as LaTeX that fits the page of an article; it needs the package booktabs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gvr_bench.report import formatting as text
from gvr_bench.report.exports.caption import caption, row_names
from gvr_bench.report.exports.tex import legible, tex
from gvr_bench.report.scores.blocks import Block, blocks
from gvr_bench.report.scores.notes import not_shown, reasons
from gvr_bench.report.scores.tables import Row, Table

# In points, for \footnotesize and \scriptsize of an article at 10 pt, whose text is 345 wide.
_ROOM = 345.0
_LETTER, _BOLD, _SMALL = 4.3, 4.9, 4.0
_NARROW, _WIDE = " .,:;'!|[](){}ijlftI-", "mwMWABCDEGHKNOPQRUVXYZ+<>=%#&@"
_GAP = 6.0
_LINES = 36
"""Lines of rows that a page holds beside the heading and the caption."""

_HEADING = 14
"""Letters of a line of a heading."""

_NAMES = 34
"""Letters of all names of a row; longer ones are folded."""

_UNBROKEN = 20
"""Letters of a word of a caption; longer ones may break anywhere."""

_HELD = 12
"""LaTeX holds back a few dozen tables for later pages at most, and then fails."""


@dataclass(frozen=True)
class _Printed:
    """A cell as it is printed, with the interval beneath the value; `width` in points."""

    value: str
    interval: str
    width: float


@dataclass(frozen=True)
class _Line:
    """A row as it is printed."""

    names: tuple[str, ...]
    control: bool
    cells: tuple[_Printed, ...]
    height: int


def latex(table: Table, label: str) -> str:
    """All groups of a table, each as one or more `table` environments labelled `tab:label...`."""
    floats, remarks = [], [f"% {tex(line)}" for line in (*table.apart, *not_shown(table))]
    for _, found in latex_groups(table, label):
        floats += found
    for place in range(_HELD, len(floats), _HELD):
        floats[place] = "\\clearpage\n" + floats[place]
    return "\n".join([*floats, *remarks]) + "\n"


def latex_groups(table: Table, label: str) -> list[tuple[str, list[str]]]:
    """The name of each group of a table, and its `table` environments."""
    found = []
    for block in blocks(table):
        name = f"{label}-{block.group.name or 'other'}" if block.titled else label
        remarks = [f"% {tex(line)}" for line in (*block.left_out, *reasons(block.table))]
        pieces = _floats(block, name)
        found.append((name, [*pieces[:-1], "\n".join([pieces[-1], *remarks])]))
    return found


def _floats(block: Block, label: str) -> list[str]:
    table = block.table
    titles = list(map(text.heading, table.columns))
    lines = [_line(table, row) for row in table.rows]
    title = _running(f"{table.title}: {block.group.title}" if block.titled else table.title)
    parts = [
        (columns, rows)
        for columns in _beside(table, titles, lines)
        for rows in _beneath(lines)
    ]  # fmt: skip
    floats = []
    for number, (columns, rows) in enumerate(parts, start=1):
        of = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        note = f" {_running(caption(table, 'in brackets', 'raised'))}" if number == 1 else ""
        floats.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    r"\setlength{\belowcaptionskip}{6pt}",
                    rf"\caption{{{title}{of}.{note}}}",
                    rf"\label{{tab:{label}{f'-{number}' if number > 1 else ''}}}",
                    r"\footnotesize",
                    rf"\setlength{{\tabcolsep}}{{{_GAP / 2:g}pt}}",
                    *_tabular(table, [titles[i] for i in columns], columns, rows),
                    r"\end{table}",
                ]
            )
        )
    return floats


def _running(words: str) -> str:
    """Words that fold into lines, whatever they are."""
    return " ".join(
        r"\allowbreak{}".join(map(tex, textwrap.wrap(word, _UNBROKEN)))
        for word in legible(words).split()
    )


def _tabular(
    table: Table, titles: Sequence[str], columns: Sequence[int], rows: Sequence[_Line]
) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{'l' * len(table.headings)}{'r' * len(titles)}}}"
    yield r"\toprule"
    yield _joined([*map(tex, table.headings), *map(_heading, titles)])
    yield r"\midrule"
    spaced = any(line.height > 1 for line in rows)
    for place, line in enumerate(rows):
        if place:
            if line.control and not rows[place - 1].control:
                yield r"\midrule"
            elif spaced:
                yield r"\addlinespace"
        cells = [line.cells[i] for i in columns]
        yield _joined([*line.names, *(cell.value for cell in cells)])
        if any(cell.interval for cell in cells):
            yield _joined([*("" for _ in line.names), *(cell.interval for cell in cells)])
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _joined(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _heading(title: str) -> str:
    return _stacked("r", _folded(title))


def _stacked(side: str, lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return tex(lines[0])
    return rf"\shortstack[{side}]{{" + r"\\".join(map(tex, lines)) + "}"


def _folded(title: str) -> list[str]:
    """Lines of a heading; the marks at its end do not stand alone."""
    marks = {text.UP, text.DOWN, text.LEVEL}
    *lines, last = textwrap.wrap(legible(title), _HEADING) or [""]
    if lines and marks.issuperset(last.split()):
        return [*lines[:-1], f"{lines[-1]} {last}"]
    return [*lines, last]


def _width(words: str, letter: float) -> float:
    """About how wide words are, by the width of a figure."""
    return letter * sum(0.6 if c in _NARROW else 1.6 if c in _WIDE else 1 for c in words)


def _line(table: Table, row: Row) -> _Line:
    room = _NAMES // max(1, len(row.names))
    folded = [textwrap.wrap(legible(name), room) or [""] for name in row_names(row)]
    cells = tuple(_printed(table, row, index) for index in range(len(row.cells)))
    height = max((len(lines) for lines in folded), default=1)
    names = tuple(_stacked("l", lines) for lines in folded)
    return _Line(names, row.control, cells, height + any(cell.interval for cell in cells))


def _printed(table: Table, row: Row, index: int) -> _Printed:
    """A value with its rank raised, the best in bold, and its interval in brackets."""
    cell = row.cells[index]
    if cell.value is None:
        word = text.word(cell)
        return _Printed(tex(word), "", _width(word, _LETTER))
    places = text.places(table, row, index)
    value, span = text.number(cell.value, places), text.interval(cell, places, ", ")
    rank = "" if cell.rank is None else str(cell.rank)
    width = _width(value, _BOLD if cell.best else _LETTER) + _width(rank, _SMALL)
    shown = rf"\textbf{{{_signed(value)}}}" if cell.best else _signed(value)
    return _Printed(
        shown + (rf"\textsuperscript{{{rank}}}" if rank else ""),
        rf"{{\scriptsize [{_signed(span)}]}}" if span else "",
        max(width, _width(f"[{span}]", _SMALL) if span else 0),
    )


def _signed(numbers: str) -> str:
    return numbers.replace("-", "$-$")


def _beside(table: Table, titles: Sequence[str], lines: Sequence[_Line]) -> list[list[int]]:
    """Columns that fit beside the names, at least one each time."""
    most = _LETTER * _NAMES / max(1, len(table.headings))
    room = _ROOM
    for place, heading in enumerate(table.headings):
        names = [heading, *(legible(row_names(row)[place]) for row in table.rows)]
        room -= _GAP + min(most, max(_width(name, _LETTER) for name in names))
    parts: list[list[int]] = [[]]
    left = room
    for index, title in enumerate(titles):
        head = max(_width(line, _LETTER) for line in _folded(title))
        width = _GAP + max([head, *(line.cells[index].width for line in lines)])
        if width > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1].append(index)
        left -= width
    return parts


def _beneath(lines: Sequence[_Line]) -> list[list[_Line]]:
    """Rows that fit on a page."""
    parts: list[list[_Line]] = [[]]
    left = _LINES
    for line in lines:
        if line.height > left and parts[-1]:
            parts.append([])
            left = _LINES
        parts[-1].append(line)
        left -= line.height
    return parts
