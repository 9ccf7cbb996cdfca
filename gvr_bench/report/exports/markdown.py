"""Tables as Markdown in which every name stays text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from gvr_bench.report import formatting as text
from gvr_bench.report.exports.caption import caption, row_names
from gvr_bench.report.scores.blocks import Block, blocks
from gvr_bench.report.scores.notes import not_shown, reasons
from gvr_bench.report.scores.tables import Row, Table

_MARKUP = re.compile(r"[\\`*_\[\]|~$]")


def markdown(whole: Table) -> str:
    """A heading, and one table per group of scores with what there is to say of it."""
    lines = [f"### {_md(whole.title)}", ""]
    lines += [line for told in whole.apart for line in (_md(told), "")]
    for block in blocks(whole):
        lines += _block(block)
    return "\n".join([*lines, *(f"- {_md(line)}\n" for line in not_shown(whole))])


def _block(block: Block) -> list[str]:
    table = block.table
    names, count = len(table.headings), len(table.columns)
    heads = [*table.headings, *map(text.heading, table.columns)]
    lines = [f"#### {_md(block.group.title)}", ""] if block.titled else []
    lines += [_joined([_md(head) for head in heads]), _joined(["---"] * names + ["---:"] * count)]
    for row in table.rows:
        lines.append(_joined([*map(_md, row_names(row)), *_cells(table, row)]))
    lines += ["", caption(table, "in brackets", "#"), ""]
    why = [f"- {_md(line)}" for line in (*block.left_out, *reasons(table))]
    return [*lines, *why, ""] if why else lines


def _joined(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(words: str) -> str:
    """One line that no Markdown reader takes for markup, mathematics or HTML."""
    return _MARKUP.sub(r"\\\g<0>", html.escape(text.clean(words), quote=False))


def _cells(table: Table, row: Row) -> Iterator[str]:
    """Cells as `0.884 #1 (0.844 to 0.924)`, the best in bold."""
    for index, cell in enumerate(row.cells):
        if cell.value is None:
            yield _md(text.word(cell))
            continue
        places = text.places(table, row, index)
        value = text.number(cell.value, places)
        rank = "" if cell.rank is None else f" #{cell.rank}"
        span = text.interval(cell, places, " to ")
        yield (f"**{value}**" if cell.best else value) + rank + (f" ({span})" if span else "")
