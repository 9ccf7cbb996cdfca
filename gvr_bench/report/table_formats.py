"""Tables of one or several runs as Markdown, CSV, JSON or LaTeX (which needs booktabs)."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from gvr_bench.report import formatting as text
from gvr_bench.report.chosen_table import chosen
from gvr_bench.report.data import load_report
from gvr_bench.report.file_names import slug
from gvr_bench.report.metric_info import OTHER
from gvr_bench.report.table_blocks import Block, blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Cell, Row, Table

Format = Literal["markdown", "csv", "json", "latex"]
Interval = Literal["brackets", "pm"]

MAX_COLUMNS = 5
"""Metrics beside each other on the page of an article."""

_FORMULA = re.compile(r"[=+@\t\r]|-.")
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_TEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
    # After the end of a row these would be its options.
    | {"[": "{[}", "]": "{]}", "*": "{*}"}
    | {text.UP: r"$\uparrow$", text.DOWN: r"$\downarrow$", text.DAGGER: r"$\dagger$"}
    | {"·": r"$\cdot$", "–": "--", "−": "$-$", "±": r"$\pm$", "µ": r"$\mu$"}
)
_FIELDS = (
    "table", "kind", "dataset", "model", "output", "explainer", "role", "group", "metric",
    "better", "unit", "value", "low", "high", "n", "seeds", "rank", "clear", "separated", "best",
    "passed", "status", "reason", "row", "source",
)  # fmt: skip


def export(
    runs: Sequence[Path],
    format: Format,  # noqa: A002 - the option's name
    columns: Sequence[str] = (),
    explainers: Sequence[str] = (),
    interval: Interval = "brackets",
) -> str:
    """Return the tables of the runs, or one table of a choice; the same runs give the same bytes.

    `csv` has one line per cell and `json` all that a cell holds, both with unrounded numbers;
    `csv` of a choice has one line per explainer. Beside published numbers, `row` is the label and
    `source` says whose number it is. Raises `DataError`, and `UsageError` for a choice of what is
    not there.
    """
    data = load_report(runs)
    if not (columns or explainers):
        return written(named(data.tables), format, interval)
    table = chosen(data.boards, columns, explainers)
    if format == "csv":
        return _wide_csv(table)
    if format == "latex":
        return (
            "\n".join([_float(table, table.title, "tab:chosen", interval), *_comments(table)])
            + "\n"
        )
    if format == "markdown":
        lines = _block(Block(OTHER, table, (), titled=False), interval)
        return "\n\n".join(lines) + "\n"
    return written({"chosen": table}, format, interval)


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


def written(
    tables: Mapping[str, Table],
    format: Format,  # noqa: A002
    interval: Interval = "brackets",
) -> str:
    if format == "csv":
        return _csv(tables.values())
    if format == "json":
        fields = [dataclasses.asdict(t, dict_factory=_without_cases) for t in tables.values()]
        return json.dumps({"tables": fields}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    if format == "markdown":
        return "\n".join(_markdown(table, interval) for table in tables.values())
    return "\n".join(_latex(table, name, interval) for name, table in tables.items())


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
    return _as_csv(cells, _FIELDS)


def _wide_csv(table: Table) -> str:
    """A line per explainer, and per score its value, its interval and the number of cases."""
    rows = [
        dict(zip(table.headings, row.names, strict=True))
        | {
            column.metric + suffix: getattr(cell, name)
            for column, cell in zip(table.columns, row.cells, strict=True)
            for suffix, name in (("", "value"), ("_low", "low"), ("_high", "high"), ("_n", "n"))
        }
        for row in table.rows
    ]
    return _as_csv(rows, list(rows[0]) if rows else table.headings)


def _as_csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    harmless = [{name: _harmless(value) for name, value in row.items()} for row in rows]
    frame = pd.DataFrame(harmless, columns=list(columns), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _harmless(value: object) -> object:
    """Text that no spreadsheet takes for a formula: an apostrophe marks it as text."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


@dataclass(frozen=True)
class _Notation:
    """How a format writes text that is not its markup, bold numbers, ranks and intervals."""

    escape: Callable[[str], str]
    bold: str
    rank: str
    interval: Callable[[str, str], str]
    minus: str = "-"

    def frame(self, table: Table, interval: Interval) -> pd.DataFrame:
        heads = [*table.headings, *map(text.heading, table.columns)]
        rows = [
            [
                *self._names(row),
                *(self._cell(table, row, i, interval) for i in range(len(row.cells))),
            ]
            for row in table.rows
        ]
        return pd.DataFrame(rows, columns=list(map(self.escape, heads)))

    def _names(self, row: Row) -> list[str]:
        *others, last = row.names
        if row.control:
            last = f"{last} (control)"
        return list(map(self.escape, (*others, last)))

    def _cell(self, table: Table, row: Row, index: int, interval: Interval) -> str:
        cell = row.cells[index]
        if cell.value is None:
            return self.escape(text.status(cell))
        places = text.places(table, row, index)
        value = text.number(cell.value, places).replace("-", self.minus)
        shown = self.bold.format(value) if cell.best else value
        if cell.rank is not None:
            shown += self.rank.format(cell.rank)
        shown = self._with_interval(shown, cell, places, interval)
        words = text.outcome(cell)
        return f"{shown}, {words}" if words else shown

    def _with_interval(self, shown: str, cell: Cell, places: int, interval: Interval) -> str:
        if cell.low is None or cell.high is None:
            return shown
        if interval == "pm":
            half = text.number((cell.high - cell.low) / 2, places)
            return f"{shown}{self.escape(' ± ')}{half}"
        ends = (text.number(end, places).replace("-", self.minus) for end in (cell.low, cell.high))
        return shown + self.interval(*ends)


def _md(line: str) -> str:
    """One line that no Markdown reader takes for markup, mathematics or HTML."""
    return _MARKUP.sub(r"\\\g<0>", html.escape(text.clean(line), quote=False))


def tex(line: str) -> str:
    """A line that LaTeX takes for text; letters of other alphabets need XeLaTeX or LuaLaTeX."""
    flat = text.clean(line)
    ends = " " if line.endswith(" ") else ""
    return (" " if line.startswith(" ") else "") + flat.translate(_TEX) + ends


MARKDOWN = _Notation(_md, "**{}**", " #{}", lambda low, high: f" ({low} to {high})")
LATEX = _Notation(
    tex,
    r"\textbf{{{}}}",
    r"\textsuperscript{{{}}}",
    lambda low, high: rf" {{\scriptsize [{low}, {high}]}}",
    minus="$-$",
)


def _markdown(table: Table, interval: Interval) -> str:
    """A heading, and one table per group of metrics with its notes; every name stays text."""
    lines = [f"### {_md(table.title)}", *map(_md, table.apart)]
    for block in blocks(table):
        lines += _block(block, interval)
    return "\n\n".join([*lines, *(f"- {_md(line)}" for line in not_shown(table))]) + "\n"


def _block(block: Block, interval: Interval) -> list[str]:
    table = block.table
    grid = MARKDOWN.frame(table, interval).to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["left"] * len(table.headings) + ["right"] * len(table.columns),
    )
    notes = legend([table], _where(interval), "Bold", "#", text.DAGGER)
    lines = [f"- {_md(line)}" for line in (*block.left_out, *reasons(table))]
    parts = [f"#### {_md(block.group.title)}" if block.titled else "", grid]
    return list(filter(None, [*parts, " ".join(notes), "\n".join(lines)]))


def _where(interval: Interval) -> str:
    return "in brackets" if interval == "brackets" else "as half their width behind ±"


def _latex(table: Table, label: str, interval: Interval) -> str:
    """All groups of a table, each as one or more `table` environments labelled `tab:label...`."""
    floats = []
    for block in blocks(table):
        name = f"{label}-{block.group.name or 'other'}" if block.titled else label
        title = f"{table.title}: {block.group.title}" if block.titled else table.title
        width = len(block.table.columns)
        starts = range(0, max(1, width), MAX_COLUMNS)
        for number, start in enumerate(starts, start=1):
            part = block.table.with_columns(range(start, min(start + MAX_COLUMNS, width)))
            of = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
            suffix = f"-{number}" if number > 1 else ""
            floats.append(_float(part, f"{title}{of}", f"tab:{name}{suffix}", interval))
        floats += [f"% {tex(line)}" for line in (*block.left_out, *reasons(block.table))]
    return "\n".join([*floats, *_comments(table)]) + "\n"


def _comments(table: Table) -> list[str]:
    return [f"% {tex(line)}" for line in (*table.apart, *not_shown(table))]


def _float(table: Table, title: str, label: str, interval: Interval) -> str:
    notes = legend([table], _where(interval), "Bold", "Raised figures", text.DAGGER)
    written_out: str = (
        LATEX.frame(table, interval)
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            position_float="centering",
            caption=" ".join(map(tex, (f"{title}.", *notes))),
            label=label,
            column_format="l" * len(table.headings) + "r" * len(table.columns),
        )
    )
    begin, rest = written_out.split("\\begin{tabular}", 1)
    return f"{begin}\\footnotesize\n\\begin{{tabular}}{rest}".rstrip("\n")
