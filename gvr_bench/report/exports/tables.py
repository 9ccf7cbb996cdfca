"""Tables of one or several runs as Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from gvr_bench.report import formatting as text
from gvr_bench.report.data import load_report
from gvr_bench.report.exports.latex import latex
from gvr_bench.report.file_names import slug
from gvr_bench.report.layout import Block, blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Row, Table

Format = Literal["md", "csv", "json", "latex"]

_FORMULA = re.compile(r"[=+@\t\r]|-.")
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_FIELDS = (
    "table", "kind", "dataset", "model", "output", "explainer", "role", "group", "metric",
    "better", "unit", "value", "low", "high", "n", "seeds", "rank", "clear", "separated", "best",
    "status", "reason", "row", "source",
)  # fmt: skip


def export(runs: list[Path], format: Format) -> str:  # noqa: A002 - the option's name
    """Return the tables of the runs; the same runs give the same bytes.

    `csv` has one line per cell and `json` all that a cell holds, both with unrounded numbers;
    beside published numbers, `row` is the label and `source` says whose number it is. LaTeX needs
    the package booktabs. Raises `DataError`.
    """
    return written(named(load_report(runs).tables), format)


def named(tables: Sequence[Table]) -> dict[str, Table]:
    """Tables by short stable names: `models`, `scoreboard`, `published`.

    Where there are several of a kind, their names include the model and the data set.
    """
    by_name: dict[str, Table] = {}
    kinds = [table.kind for table in tables]
    for table in tables:
        several = kinds.count(table.kind) > 1
        name = slug(f"{table.kind} {table.model} {table.dataset}")[:80] if several else table.kind
        number = 1 + sum(other == name or other.startswith(f"{name}--") for other in by_name)
        by_name[f"{name}--{number}" if number > 1 else name] = table
    return by_name


def written(tables: dict[str, Table], format: Format) -> str:  # noqa: A002
    """Tables in one text of a format."""
    if format == "csv":
        return _csv(tables.values())
    if format == "json":
        fields = [dataclasses.asdict(t, dict_factory=_without_cases) for t in tables.values()]
        return json.dumps({"tables": fields}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    if format == "md":
        return "\n".join(map(markdown, tables.values()))
    return "\n".join(latex(table, name) for name, table in tables.items())


def _without_cases(fields: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Cells without the values of single cases, which lie in the run's own file."""
    return {name: value for name, value in fields if name != "cases"}


def _csv(tables: Iterable[Table]) -> str:
    cells = [
        {"table": table.title, "kind": table.kind, "dataset": table.dataset}
        | {"model": table.model, "output": "all", "role": row.role}
        | dataclasses.asdict(column)
        | dict(row.facts)
        | dataclasses.asdict(cell)
        | {"seeds": " ".join(map(str, cell.seeds))}
        for table in tables
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.status is not None
    ]
    lines = [{name: _harmless(value) for name, value in cell.items()} for cell in cells]
    frame = pd.DataFrame(lines, columns=list(_FIELDS), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _harmless(value: object) -> object:
    """Text that no spreadsheet takes for a formula: an apostrophe marks it as text."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def markdown(table: Table) -> str:
    """A heading, and one table per group of metrics with its notes; every name stays text."""
    lines = [f"### {_md(table.title)}", *map(_md, table.apart)]
    for block in blocks(table):
        lines += _block(block)
    return "\n\n".join([*lines, *(f"- {_md(line)}" for line in not_shown(table))]) + "\n"


def _block(block: Block) -> list[str]:
    table = block.table
    heads = [*table.headings, *map(text.heading, table.columns)]
    rows = [
        [*_names(row), *(_cell(table, row, i) for i in range(len(row.cells)))] for row in table.rows
    ]
    grid = pd.DataFrame(rows, columns=[_md(head) for head in heads]).to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["left"] * len(table.headings) + ["right"] * len(table.columns),
    )
    notes = legend([table], "in brackets", "Bold", "#", text.DAGGER)
    lines = [f"- {_md(line)}" for line in (*block.left_out, *reasons(table))]
    parts = [f"#### {_md(block.group.title)}" if block.titled else "", grid]
    return list(filter(None, [*parts, " ".join(notes), "\n".join(lines)]))


def _md(line: str) -> str:
    """One line that no Markdown reader takes for markup, mathematics or HTML."""
    return _MARKUP.sub(r"\\\g<0>", html.escape(text.clean(line), quote=False))


def _names(row: Row) -> list[str]:
    first, *rest = row.names
    return [_md(f"{first} (control)" if row.control else first), *map(_md, rest)]


def _cell(table: Table, row: Row, index: int) -> str:
    """`0.884 #1 (0.844 to 0.924)`, the best in bold."""
    cell = row.cells[index]
    if cell.value is None:
        return _md(text.status(cell))
    places = text.places(table, row, index)
    value = text.number(cell.value, places)
    rank = "" if cell.rank is None else f" #{cell.rank}"
    interval = text.interval(cell, places, " to ")
    bold = f"**{value}**" if cell.best else value
    return bold + rank + (f" ({interval})" if interval else "")
