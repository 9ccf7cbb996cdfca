"""Tables as a terminal draws them: cut to its width, and in ASCII where it knows nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gvr_bench.report import formatting as text
from gvr_bench.report.scores.blocks import cut
from gvr_bench.report.scores.tables import Cell, Row, Table

_DIGITS = 2
_WIDEST_NAME = 22
_STYLES = {"failed": "red", "ok": "", "n/a": "dim", "skipped": "yellow", None: "dim"}
_SIGNS = (("↑", "^"), ("↓", "v"), ("–", "-"), ("·", "/"), ("…", "..."), (text.LEVEL, "!"))


class Screen:
    """Prints lines and tables; `width` is that of the terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = console.width
        self.ascii = not console.encoding.lower().startswith("utf")

    def plain(self, line: str) -> str:
        """Arrows and dashes as ASCII where the terminal knows no others."""
        if not self.ascii:
            return line
        for sign, ascii_sign in _SIGNS:
            line = line.replace(sign, ascii_sign)
        return line.encode("ascii", "replace").decode()

    def print(self, line: str = "", style: str = "") -> None:
        """Print a line, folded at the width."""
        self.console.print(Text(self.plain(text.clean(line)), style=style, overflow="fold"))

    def pieces(self, table: Table) -> Iterator[Table]:
        """The table cut into pieces that fit the width, each with the names of all rows."""
        names = sum(name_width(table, i) for i in range(len(table.headings)))
        keep: list[int] = []
        used = names
        for index in range(len(table.columns)):
            need = self.column_width(table, index) + 1
            if keep and used + need > self.width:
                yield cut(table, keep)
                keep, used = [], names
            keep.append(index)
            used += need
        if keep:
            yield cut(table, keep)

    def table(self, table: Table) -> None:
        """Print a table in as many pieces as it takes."""
        for piece in self.pieces(table):
            self.console.print(self.drawn(piece))

    def column_width(self, table: Table, index: int) -> int:
        """Width of the widest word, number or interval of a column."""
        lines = text.heading(table.columns[index]).split()
        for row in table.rows:
            lines += self.lines(table, row, index)
        return max(map(cell_len, lines))

    def drawn(self, table: Table) -> RichTable:
        """One space between columns where two would not fit; headings whole where they fit."""
        names = [name_width(table, i) for i in range(len(table.headings))]
        widths = [self.column_width(table, i) for i in range(len(table.columns))]
        heads = [self.plain(text.clean(text.heading(column))) for column in table.columns]
        whole = [max(w, cell_len(head)) for w, head in zip(widths, heads, strict=True)]
        gaps = 2 * (len(widths) + len(names) - 1)
        if sum(names) + sum(whole) + gaps <= self.width:
            widths = whole
        roomy = sum(names) + sum(widths) + gaps <= self.width
        drawn = RichTable(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            collapse_padding=True,
            padding=(0, 1 if roomy else 0, 0, 0),
        )
        spare = max(0, self.width - sum(names) - sum(widths) - gaps)
        for index, name in enumerate(table.headings):
            longest = max(cell_len(n) for n in (name, *(row.names[index] for row in table.rows)))
            drawn.add_column(name, overflow="fold", width=min(longest, names[index] + spare))
        for width, head, column in zip(widths, heads, table.columns, strict=True):
            style = "dim" if column.separated is False else ""
            drawn.add_column(Text(head, style=style), justify="right", width=width)
        controls = False
        for row in table.rows:
            if row.control and not controls:
                drawn.add_section()
            controls = row.control
            drawn.add_row(*self.names(row, drawn), *self.cells(table, row))
        return drawn

    def names(self, row: Row, drawn: RichTable) -> list[Text]:
        """Names broken where their words end, and which of them are controls."""
        shown = []
        for name, column in zip(row.names, drawn.columns, strict=False):
            lines = [""]
            for word in words(name):
                if lines[-1] and cell_len((lines[-1] + word).rstrip()) > (column.width or 0):
                    lines.append(word)
                else:
                    lines[-1] += word
            shown.append(Text(self.plain("\n".join(line.rstrip() for line in lines))))
        if row.control:
            beneath = any(cell.low is not None for cell in row.cells)
            shown[0].append("\ncontrol" if beneath else " (control)", style="dim")
        return shown

    def cells(self, table: Table, row: Row) -> list[Text]:
        """A row's numbers: the best in colour, those that show nothing dimmed."""
        cells = []
        for index, cell in enumerate(row.cells):
            first, *rest = self.lines(table, row, index)
            level = table.columns[index].separated is False
            style = "dim" if level else "bold green" if cell.best else _STYLES[cell.status]
            shown = Text(self.plain(first), style=style)
            for line in rest:
                shown.append(f"\n{self.plain(line)}", style="not bold dim default")
            cells.append(shown)
        return cells

    def lines(self, table: Table, row: Row, index: int) -> list[str]:
        """A value and beneath it the interval; two dots where a dash would look like a minus."""
        cell = row.cells[index]
        if cell.value is None:
            return [text.word(cell)]
        places = text.places(table, row, index, _DIGITS)
        lows = [row.cells[index].low for row in table.rows]
        between = ".." if any(low is not None and low < 0 for low in lows) else "–"
        ranks = [self.mark(row.cells[index]) for row in table.rows]
        first = text.number(cell.value, places) + self.mark(cell).ljust(max(map(len, ranks)))
        return [line for line in (first, text.interval(cell, places, between)) if line]

    def mark(self, cell: Cell) -> str:
        """The rank after a number, or a star for the best where there are no ranks."""
        if cell.rank is not None:
            return f" {self.rank(cell.rank)}"
        return "*" if cell.best else ""

    def rank(self, rank: int) -> str:
        """A rank as it follows a number."""
        return f"#{rank}" if self.ascii else text.raised(rank)


def name_width(table: Table, index: int) -> int:
    """Names break at spaces, underscores and hyphens, since every row has two lines anyway."""
    names = [table.headings[index], *(row.names[index] for row in table.rows)]
    return min(_WIDEST_NAME, max(cell_len(w.rstrip()) for name in names for w in words(name)))


def words(name: str) -> list[str]:
    """Pieces of a name between which a line may break; those before a space end in it."""
    return re.findall(r"\S+?(?:[-_]+(?=\w)|\s+|$)", text.clean(name)) or [""]
