"""A finished run in the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gvr_bench.report import text
from gvr_bench.report.folder import Run, load
from gvr_bench.report.notes import best_note, images_note, reasons, seeds_note, visible
from gvr_bench.report.published import published_tables
from gvr_bench.report.tables import Row, Table, model_tables, scoreboards

_DIGITS = 2
_WIDEST_NAME = 22
_STYLES = {"failed": "red", "ok": "", "n/a": "dim", "skipped": "yellow", None: "dim"}


def show(run: Path, console: Console) -> None:
    """Print what was run, the scores and what went wrong. Raises `DataError`."""
    loaded = load(run)
    _print(console, _header(loaded), "bold")
    runs = [loaded]
    tables = [*published_tables(runs), *model_tables(runs), *scoreboards(runs)]
    for table in tables:
        _table(table, console)
    if not tables:
        _print(console, "No scores were recorded.", "yellow")
    _stages(loaded, console)
    page = run / "index.html"
    last = f"Report: {page}" if page.is_file() else f"Records: {run / 'records.jsonl'}"
    console.print()
    # A path is never folded: a terminal wraps it, and it can still be copied.
    console.print(Text(text.clean(last)), soft_wrap=True)


def _header(run: Run) -> str:
    records = run.records
    models = dict.fromkeys(f"{r.generator} · {r.encoder} · {r.head}" for r in records)
    seeds = sorted({r.seed for r in records})
    parts = [
        ", ".join(dict.fromkeys(r.dataset for r in records)),
        text.listed(list(models), 2),
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}" if seeds else "",
        run.environment.device,
        text.duration(run.environment.seconds),
    ]
    return " | ".join(part for part in parts if part)


def _table(table: Table, console: Console) -> None:
    console.print()
    _print(console, table.title, "bold")
    for block in _blocks(visible(table), console.width):
        console.print(_drawn(block, console))
    best = best_note(table)
    notes = (
        "beneath each value its 95 % interval",
        images_note(table),
        seeds_note(table),
        f"* {best}" if best else "",
    )
    _print(console, "; ".join(note for note in notes if note), "dim")
    for line in reasons(table):
        _print(console, f"- {line}")


def _print(console: Console, line: str, style: str = "") -> None:
    console.print(Text(_plain(text.clean(line), console), style=style, overflow="fold"))


def _plain(line: str, console: Console) -> str:
    """Arrows and dashes as ASCII where the terminal knows no others."""
    if console.encoding.lower().startswith("utf"):
        return line
    for sign, ascii_sign in (("↑", "^"), ("↓", "v"), ("–", "-"), ("·", "/")):
        line = line.replace(sign, ascii_sign)
    return line.encode("ascii", "replace").decode()


def _blocks(table: Table, width: int) -> Iterable[Table]:
    """The table cut into pieces that fit the width, each with the names of all rows."""
    names = sum(_name_width(table, i) for i in range(len(table.headings)))
    start, used = 0, names
    for index in range(len(table.columns)):
        need = _column_width(table, index) + 1
        if index > start and used + need > width:
            yield _cut(table, start, index)
            start, used = index, names
        used += need
    if table.columns:
        yield _cut(table, start, len(table.columns))


def _cut(table: Table, start: int, stop: int) -> Table:
    rows = tuple(replace(row, cells=row.cells[start:stop]) for row in table.rows)
    return replace(table, columns=table.columns[start:stop], rows=rows)


def _name_width(table: Table, index: int) -> int:
    """Names break at spaces, underscores and hyphens, since every row has two lines anyway."""
    names = [table.headings[index], *(row.names[index] for row in table.rows)]
    words = [word for name in names for word in _words(name)]
    return min(_WIDEST_NAME, max(cell_len(word.rstrip()) for word in words))


def _words(name: str) -> list[str]:
    """Pieces of a name between which a line may break; those before a space end in it."""
    return re.findall(r"\S+?(?:[-_]+(?=\w)|\s+|$)", text.clean(name)) or [""]


def _column_width(table: Table, index: int) -> int:
    """Width of the widest word, number or interval of a column."""
    lines = text.heading(table.columns[index]).split()
    for row in table.rows:
        lines += _lines(table, row, index)
    return max(map(cell_len, lines))


def _drawn(table: Table, console: Console) -> RichTable:
    """One space between columns where that saves a block, else two; headings whole if they fit."""
    names = [_name_width(table, i) for i in range(len(table.headings))]
    widths = [_column_width(table, i) for i in range(len(table.columns))]
    whole = [max(w, cell_len(text.heading(c))) for w, c in zip(widths, table.columns, strict=True)]
    gaps = 2 * (len(widths) + len(names) - 1)
    if sum(names) + sum(whole) + gaps <= console.width:
        widths = whole
    roomy = sum(names) + sum(widths) + gaps <= console.width
    drawn = RichTable(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        padding=(0, 1 if roomy else 0, 0, 0),
    )
    spare = max(0, console.width - sum(names) - sum(widths) - gaps)
    for index, name in enumerate(table.headings):
        longest = max(cell_len(n) for n in (name, *(row.names[index] for row in table.rows)))
        drawn.add_column(name, overflow="fold", width=min(longest, names[index] + spare))
    for index, column in enumerate(table.columns):
        head = Text(_plain(text.clean(text.heading(column)), console))
        drawn.add_column(head, justify="right", width=widths[index])
    controls = False
    for row in table.rows:
        if row.control and not controls:
            drawn.add_section()
        controls = row.control
        drawn.add_row(*_names(row, drawn, console), *_cells(table, row, console))
    return drawn


def _names(row: Row, drawn: RichTable, console: Console) -> list[Text]:
    shown = []
    for name, column in zip(row.names, drawn.columns, strict=False):
        lines = [""]
        for word in _words(name):
            if lines[-1] and cell_len((lines[-1] + word).rstrip()) > (column.width or 0):
                lines.append(word)
            else:
                lines[-1] += word
        shown.append(Text(_plain("\n".join(line.rstrip() for line in lines), console)))
    if row.control:
        shown[0].append("\ncontrol", style="dim")
    return shown


def _cells(table: Table, row: Row, console: Console) -> list[Text]:
    cells = []
    for index, cell in enumerate(row.cells):
        first, *rest = _lines(table, row, index)
        style = "bold green" if cell.best else _STYLES[cell.status]
        shown = Text(_plain(first, console), style=style)
        for line in rest:
            shown.append(f"\n{_plain(line, console)}", style="not bold dim default")
        cells.append(shown)
    return cells


def _lines(table: Table, row: Row, index: int) -> list[str]:
    """A value and beneath it the interval; two dots where a dash would look like a minus."""
    cell = row.cells[index]
    if cell.value is None:
        return [text.word(cell)]
    places = text.places(table, row, index, _DIGITS)
    lows = [row.cells[index].low for row in table.rows]
    between = ".." if any(low is not None and low < 0 for low in lows) else "–"
    first = text.number(cell.value, places) + ("*" if cell.best else "")
    return [line for line in (first, text.interval(cell, places, between)) if line]


def _stages(run: Run, console: Console) -> None:
    wrong = [s for s in run.environment.stages if s.status in ("failed", "skipped")]
    if wrong:
        console.print()
        _print(console, "Stages that did not finish", "bold")
    for stage in wrong:
        why = stage.reason or "no reason given"
        line = f"- {stage.kind} {stage.name}: {stage.status}: {why}"
        _print(console, line, _STYLES[stage.status])
