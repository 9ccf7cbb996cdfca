"""Tables of one or several runs as Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from gvr_bench.report.data import load_all
from gvr_bench.report.exports.latex import latex
from gvr_bench.report.exports.markdown import markdown
from gvr_bench.report.file_names import slug
from gvr_bench.report.scores.published import COUNT, QuotedRow
from gvr_bench.report.scores.tables import Cell, Column, Row, Table

Format = Literal["md", "csv", "json", "latex"]
Named = dict[str, Table]


def export(runs: list[Path], format: Format) -> str:  # noqa: A002 - the word of the command line
    """Return the tables of the runs; the same runs give the same bytes.

    `csv` has one line per cell and `json` all that a cell holds, both with unrounded numbers;
    beside published numbers, `row` is the label and `source` says whose number it is. LaTeX needs
    the package booktabs. Raises `DataError`.
    """
    loaded = load_all(runs)
    return written(named([*loaded.published, *loaded.models, *loaded.boards]), format)


def named(tables: Sequence[Table]) -> Named:
    """Tables by short names that stay the same: `models`, `scoreboard`, `published`.

    Where there are several of a kind, their names say of what.
    """
    found: Named = {}
    kinds = [table.kind for table in tables]
    for table in tables:
        several = kinds.count(table.kind) > 1
        name = slug(f"{table.kind} {table.model} {table.dataset}")[:80] if several else table.kind
        taken = sum(other == name or other.startswith(f"{name}--") for other in found)
        found[f"{name}--{taken + 1}" if taken else name] = table
    return found


def written(tables: Named, format: Format) -> str:  # noqa: A002 - the word of the command line
    """Tables in one text of a format."""
    if format == "csv":
        return _csv(tables.values())
    if format == "json":
        return _json(tables.values())
    if format == "md":
        return "\n".join(map(markdown, tables.values()))
    return "\n".join(latex(table, name) for name, table in tables.items())


_FORMULA = re.compile(r"[=+@\t\r]|-.")
_FIELDS = (
    "table", "kind", "dataset", "model", "finding", "explainer", "control", "group", "metric",
    "better", "unit", "value", "low", "high", "n", "seeds", "rank", "clear", "separated", "best",
    "status", "reason", "row", "source",
)  # fmt: skip


def _csv(tables: Iterable[Table]) -> str:
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
                    writer.writerow(_harmless(about | {"control": row.control} | score))
    return buffer.getvalue()


def _harmless(line: dict[str, object]) -> dict[str, object]:
    """A line whose words no spreadsheet takes for a formula: an apostrophe says that it is text."""
    return {
        name: f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell
        for name, cell in line.items()
    }


def _what(table: Table, row: Row, column: Column) -> dict[str, object]:
    """What a cell is the score of."""
    if not isinstance(row, QuotedRow):
        return dict(zip(table.headings, row.names, strict=True)) | dataclasses.asdict(column)
    about = {name: getattr(row, name) for name in ("finding", "explainer", "metric", "unit")}
    return about | {"row": row.names[0], "source": column.metric}


def _plain(cell: Cell) -> dict[str, object]:
    return dataclasses.asdict(cell) | {"seeds": " ".join(map(str, cell.seeds))}


def _json(tables: Iterable[Table]) -> str:
    found = [dataclasses.asdict(table) for table in tables]
    return json.dumps({"tables": found}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
