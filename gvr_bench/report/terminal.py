"""Finished runs in the terminal: a verdict and a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gvr_bench.report import formatting as text
from gvr_bench.report.data import ReportData
from gvr_bench.report.figures import model_name
from gvr_bench.report.questions import leading_scores
from gvr_bench.report.run import Run
from gvr_bench.report.table_blocks import blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Row, Table
from gvr_bench.results.records import model_label

_MAX_WARNINGS = 5
_NAME_WIDTH = 20  # names break at hyphens and spaces beyond this
_STYLES = {"failed": "red", "ok": "", "n/a": "dim", "skipped": "yellow", None: "dim"}
_ASCII = str.maketrans(
    {"↑": "^", "↓": "v", "–": "-", "·": "/", "…": "...", text.DAGGER: "!", "±": "+-", "−": "-"}
)


def show(data: ReportData, console: Console, all_metrics: bool = False) -> None:
    """Print the verdicts, what was run, one table per scoreboard, and the warnings of one run.

    A table has the leading score of each question, as many as fit the width, and all scores where
    `all_metrics` are requested. Raises `DataError`.
    """
    screen = Screen(console)
    several = len(data.runs) > 1
    for verdict in data.verdicts:
        screen.print(f"{verdict.about}: {verdict.text}" if verdict.about else verdict.text)
        screen.print()
    for run in data.runs:
        screen.print(f"{run.name}: {_header(run)}" if several else _header(run), "bold")
    for c in data.combinations:
        if c.notes:
            whose = f"{model_name(c)}: " if len(data.combinations) > 1 else ""
            screen.print(whose + " ".join(c.notes), "dim")
    for table in (*data.published, *(data.models if all_metrics or not data.boards else ())):
        screen.show(table)
    for table in data.boards:
        screen.show(table) if all_metrics else screen.show_leading(table)
    if not data.tables:
        screen.print("No scores were recorded.", "yellow")
    if not several:
        _show_warnings(data, screen)


def _header(run: Run) -> str:
    seeds = sorted({record.seed for record in run.records})
    models = dict.fromkeys(model_label(r.generator, r.encoder, r.head) for r in run.records)
    parts = [
        ", ".join(dict.fromkeys(record.dataset for record in run.records)),
        text.listed(list(models), 2),
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else "",
        run.environment.device,
        text.duration(run.environment.seconds),
    ]
    return " | ".join(part for part in parts if part)


def _show_warnings(data: ReportData, screen: Screen) -> None:
    if data.warnings:
        screen.print("\nWarnings", "bold")
    for line in data.warnings[:_MAX_WARNINGS]:
        screen.print(f"- {line}", "yellow")
    if len(data.warnings) > _MAX_WARNINGS:
        screen.print(f"{len(data.warnings) - _MAX_WARNINGS} more in the report", "dim")
    page = data.run.path / "index.html"
    last = f"Report: {page}" if page.is_file() else f"Records: {data.run.path / 'records.jsonl'}"
    screen.console.print()
    # The terminal wraps a path itself, and it can still be copied.
    screen.console.print(Text(text.clean(last)), soft_wrap=True)


class Screen:
    """Prints lines and tables, in ASCII where the terminal knows nothing else."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.ascii = not console.encoding.lower().startswith("utf")

    def plain(self, line: str) -> str:
        if not self.ascii:
            return line
        return line.translate(_ASCII).encode("ascii", "replace").decode()

    def print(self, line: str = "", style: str = "") -> None:
        """Print a line, folded at the width; a leading line break is kept."""
        start = "\n" if line.startswith("\n") else ""
        shown = start + self.plain(text.clean(line))
        self.console.print(Text(shown, style=style, overflow="fold"))

    def show_leading(self, table: Table) -> None:
        self._title(table)
        first = next(self._pieces(leading_scores(table)))
        self.console.print(self._drawn(first))
        self._notes([first])
        if more := len(table.columns) - len(first.columns):
            self.print(f"{more} more scores: see the report, or add --all-metrics", "dim")

    def show(self, table: Table) -> None:
        self._title(table)
        shown = blocks(table)
        for block in shown:
            if block.titled:
                question = f": {block.group.text}" if block.group.text else ""
                self.print(f"\n{block.group.title}{question}", "italic")
            for piece in self._pieces(block.table):
                self.console.print(self._drawn(piece))
            for line in (*block.left_out, *reasons(block.table)):
                self.print(f"- {line}")
        self._notes([block.table for block in shown])
        for line in not_shown(table):
            self.print(f"- {line}")

    def _title(self, table: Table) -> None:
        self.print(f"\n{table.title}", "bold")
        for line in table.apart:
            self.print(line, "yellow")

    def _notes(self, tables: Sequence[Table]) -> None:
        for line in legend(tables, "below each value", "*", self._rank(1), text.DAGGER):
            self.print(line, "dim")

    def _pieces(self, table: Table) -> Iterator[Table]:
        """The table cut into pieces that fit the width, each with the names of all rows."""
        start = 0
        for end in range(1, len(table.columns) + 1):
            widths = self._widths(table.with_columns(range(start, end)))
            if sum(widths) + 2 * (len(widths) - 1) > self.console.width and end - start > 1:
                yield table.with_columns(range(start, end - 1))
                start = end - 1
        yield table.with_columns(range(start, len(table.columns)))

    def _widths(self, table: Table) -> list[int]:
        """The smallest widths of all columns; a long name is folded where there is no room."""
        heads = [*table.headings, *map(text.heading, table.columns)]
        grid = [[*self._names(row), *self._cells(table, row)] for row in table.rows]
        widths = []
        for index, head in enumerate(map(self.plain, map(text.clean, heads))):
            lines = [line for row in grid for line in row[index].plain.split("\n")]
            widths.append(max(map(cell_len, [*lines, *head.split()])))
        names = len(table.headings)
        room = self.console.width - sum(widths[names:]) - 2 * len(table.columns)
        limit = max(_NAME_WIDTH, room // names)
        return [min(width, limit) for width in widths[:names]] + widths[names:]

    def _drawn(self, table: Table) -> RichTable:
        drawn = RichTable(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            collapse_padding=True,
            padding=(0, 1, 0, 0),
        )
        widths, names = self._widths(table), len(table.headings)
        heads = [self.plain(text.clean(text.heading(column))) for column in table.columns]
        full = [*widths[:names], *map(max, widths[names:], map(cell_len, heads))]
        if sum(full) + 2 * (len(full) - 1) <= self.console.width:
            widths = full  # no heading is folded
        for name, width in zip(table.headings, widths[:names], strict=True):
            drawn.add_column(name, overflow="fold", width=width)
        for column, head, width in zip(table.columns, heads, widths[names:], strict=True):
            style = "dim" if column.separated is False else ""
            drawn.add_column(Text(head, style=style), justify="right", width=width)
        for previous, row in zip((None, *table.rows), table.rows, strict=False):
            if row.control and previous and not previous.control:
                drawn.add_section()
            drawn.add_row(*self._names(row), *self._cells(table, row))
        return drawn

    def _names(self, row: Row) -> list[Text]:
        names = [
            Text(self.plain("\n".join(textwrap.wrap(text.clean(name), _NAME_WIDTH,
                                                    break_long_words=False)) or "-"))
            for name in row.names
        ]  # fmt: skip
        if row.control:
            below = any(cell.low is not None for cell in row.cells)
            names[0].append("\ncontrol" if below else " (control)", style="dim")
        return names

    def _cells(self, table: Table, row: Row) -> list[Text]:
        return [self._cell(table, row, index) for index in range(len(row.cells))]

    def _cell(self, table: Table, row: Row, index: int) -> Text:
        cell, level = row.cells[index], table.columns[index].separated is False
        style = "dim" if level else "bold green" if cell.best else _STYLES[cell.status]
        if cell.value is None:
            return Text(self.plain(text.status(cell)), style=style)
        places = text.places(table, row, index, significant=2)
        marks = [
            self._mark(other.cells[index].rank, other.cells[index].best) for other in table.rows
        ]
        mark = self._mark(cell.rank, cell.best).ljust(max(map(len, marks)))
        shown = Text(self.plain(text.number(cell.value, places) + mark), style=style)
        if span := text.interval(cell, places, " to "):
            shown.append(f"\n{self.plain(span)}", style="not bold dim default")
        if words := text.outcome(cell):
            shown.append(f"\n{words}", style="not bold default")
        return shown

    def _mark(self, rank: int | None, best: bool) -> str:
        """The rank after a number, or a star for the best where there are no ranks."""
        if rank is not None:
            return f" {self._rank(rank)}"
        return "*" if best else ""

    def _rank(self, rank: int) -> str:
        return f"#{rank}" if self.ascii else text.raised(rank)
