"""Tables of one or several runs as Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from gvr_bench.report import text
from gvr_bench.report.blocks import Block, blocks
from gvr_bench.report.folder import load
from gvr_bench.report.notes import (
    best_note,
    images_note,
    interval_note,
    level_note,
    not_shown,
    rank_note,
    reasons,
    seeds_note,
)
from gvr_bench.report.published import COUNT, QuotedRow, published_tables
from gvr_bench.report.tables import Cell, Column, Row, Table, model_tables, scoreboards

Format = Literal["md", "csv", "json", "latex"]

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "·": r"$\cdot$", "†": r"$\dagger$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
} | {sign: "\\" + sign for sign in "&%$#_{}"}  # fmt: skip


def export(runs: list[Path], format: Format) -> str:  # noqa: A002 - the word of the command line
    """Return the tables of the runs; the same runs give the same bytes.

    `csv` has one line per cell and `json` all that a cell holds, both with unrounded numbers;
    beside published numbers, `row` is the label and `source` says whose number it is. LaTeX needs
    the package booktabs. Raises `DataError`.
    """
    loaded = [load(path) for path in runs]
    tables = [*published_tables(loaded), *model_tables(loaded), *scoreboards(loaded)]
    writers: dict[Format, Callable[[list[Table]], str]] = {
        "md": lambda found: "\n".join(map(_markdown, found)),
        "csv": _csv,
        "json": _json,
        "latex": lambda found: "\n".join(map(_latex, found)),
    }
    return writers[format](tables)


def _markdown(whole: Table) -> str:
    lines = [f"### {_md(whole.title)}", ""]
    lines += [line for told in whole.apart for line in (_md(told), "")]
    for block in blocks(whole):
        lines += _markdown_block(block)
    return "\n".join([*lines, *(f"- {_md(line)}\n" for line in not_shown(whole))])


def _markdown_block(block: Block) -> list[str]:
    table = block.table
    names, count = len(table.headings), len(table.columns)
    heads = [*table.headings, *map(text.heading, table.columns)]
    lines = [f"#### {_md(block.group.title)}", ""] if block.titled else []
    lines += [_md_row([_md(head) for head in heads]), _md_row(["---"] * names + ["---:"] * count)]
    for row in table.rows:
        marks = [_md(name) for name in _names(row)]
        lines.append(_md_row([*marks, *_shown(table, row, "**{}**", _md)]))
    lines += ["", _note(table), ""]
    why = [f"- {_md(line)}" for line in (*block.left_out, *reasons(table))]
    return [*lines, *why, ""] if why else lines


def _md_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(words: str) -> str:
    """One line that no Markdown reader takes for markup or HTML."""
    safe = html.escape(text.clean(words), quote=False)
    for sign in "\\`*_[]|":
        safe = safe.replace(sign, "\\" + sign)
    return safe


def _latex(whole: Table) -> str:
    lines = [line for block in blocks(whole) for line in _latex_block(block)]
    lines += [f"% {_tex(line)}" for line in (*whole.apart, *not_shown(whole))]
    return "\n".join(lines) + "\n"


def _latex_block(block: Block) -> list[str]:
    table = block.table
    heads = [*table.headings, *map(text.heading, table.columns)]
    title = f"{table.title}: {block.group.title}" if block.titled else table.title
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(title)}. {_tex(_note(table))}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.headings)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _tex_row([_tex(head) for head in heads]),
        r"\midrule",
    ]
    controls = False
    for row in table.rows:
        if row.control and not controls:
            lines.append(r"\midrule")
        controls = row.control
        marks = [_tex(name) for name in _names(row)]
        lines.append(_tex_row([*marks, *_shown(table, row, r"\textbf{{{}}}", _tex)]))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return lines + [f"% {_tex(line)}" for line in (*block.left_out, *reasons(table))]


def _tex_row(cells: list[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _tex(words: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.clean(words))


def _names(row: Row) -> list[str]:
    first, *rest = row.names
    return [f"{first} (control)" if row.control else first, *rest]


def _shown(table: Table, row: Row, bold: str, escape: Callable[[str], str]) -> Iterator[str]:
    """Cells as `0.884 #1 (0.844 to 0.924)`, the best in bold."""
    for index, cell in enumerate(row.cells):
        if cell.value is None:
            yield escape(text.word(cell))
            continue
        places = text.places(table, row, index)
        value = text.number(cell.value, places)
        rank = "" if cell.rank is None else f" {escape(f'#{cell.rank}')}"
        span = text.interval(cell, places, " to ")
        yield (bold.format(value) if cell.best else value) + rank + (f" ({span})" if span else "")


def _note(table: Table) -> str:
    span, best, rank, level = (
        note(table) for note in (interval_note, best_note, rank_note, level_note)
    )
    notes = (
        f"{span}s in brackets" if span else "",
        images_note(table),
        seeds_note(table),
        f"{best} in bold" if best else "",
        f"# {rank}" if rank else "",
        f"{text.LEVEL} {level}" if level else "",
    )
    return "; ".join(note for note in notes if note) + "."


_FIELDS = (
    "table", "kind", "dataset", "model", "finding", "explainer", "control", "group", "metric",
    "better", "unit", "value", "low", "high", "n", "seeds", "rank", "clear", "separated", "best",
    "status", "reason", "row", "source",
)  # fmt: skip


def _csv(tables: list[Table]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        about = {"table": table.title, "kind": table.kind, "dataset": table.dataset}
        about |= {"model": table.model, "finding": "all"}
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell.status is not None and column.metric != COUNT:
                    score = _what(table, row, column) | _plain(cell)
                    writer.writerow(about | {"control": row.control} | score)
    return buffer.getvalue()


def _what(table: Table, row: Row, column: Column) -> dict[str, object]:
    """What a cell is the score of."""
    if not isinstance(row, QuotedRow):
        return dict(zip(table.headings, row.names, strict=True)) | dataclasses.asdict(column)
    about = {name: getattr(row, name) for name in ("finding", "explainer", "metric", "unit")}
    return about | {"row": row.names[0], "source": column.metric}


def _plain(cell: Cell) -> dict[str, object]:
    return dataclasses.asdict(cell) | {"seeds": " ".join(map(str, cell.seeds))}


def _json(tables: list[Table]) -> str:
    found = [dataclasses.asdict(table) for table in tables]
    return json.dumps({"tables": found}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
