"""Tables as LaTeX; it needs the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gvr_bench.report import formatting as text
from gvr_bench.report.layout import blocks, legend, not_shown, reasons
from gvr_bench.report.tables import Row, Table

MAX_COLUMNS = 5
"""Metrics beside each other on the page of an article."""

_SPECIAL = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
    # After the end of a row these would be its options.
    | {"[": "{[}", "]": "{]}", "*": "{*}"}
    | {text.UP: r"$\uparrow$", text.DOWN: r"$\downarrow$", text.DAGGER: r"$\dagger$"}
    | {"·": r"$\cdot$", "–": "--", "−": "$-$", "±": r"$\pm$", "µ": r"$\mu$"}
)


def tex(line: str) -> str:
    """A line that LaTeX takes for text; letters of other alphabets need XeLaTeX or LuaLaTeX."""
    return text.clean(line).translate(_SPECIAL)


def latex(table: Table, label: str) -> str:
    """All groups of a table, each as one or more `table` environments labelled `tab:label...`."""
    notes = [f"% {tex(line)}" for line in (*table.apart, *not_shown(table))]
    return "\n".join([*latex_groups(table, label).values(), *notes]) + "\n"


def latex_groups(table: Table, label: str) -> dict[str, str]:
    """The name of each group of a table, and its `table` environments."""
    groups = {}
    for block in blocks(table):
        name = f"{label}-{block.group.name or 'other'}" if block.titled else label
        title = f"{table.title}: {block.group.title}" if block.titled else table.title
        starts = range(0, max(1, len(block.table.columns)), MAX_COLUMNS)
        parts = []
        for number, start in enumerate(starts, start=1):
            columns = range(start, min(start + MAX_COLUMNS, len(block.table.columns)))
            of = f" ({number} of {len(starts)})" if len(starts) > 1 else ""
            parts.append(
                _float(
                    block.table.with_columns(columns),
                    f"{title}{of}.",
                    f"tab:{name}{f'-{number}' if number > 1 else ''}",
                )
            )
        notes = [f"% {tex(line)}" for line in (*block.left_out, *reasons(block.table))]
        groups[name] = "\n".join([*parts, *notes])
    return groups


def _float(table: Table, title: str, label: str) -> str:
    names = [_names(row) for row in table.rows]
    cells = [[_cell(table, row, i) for i in range(len(row.cells))] for row in table.rows]
    frame = pd.DataFrame(
        [[*mine, *values] for mine, values in zip(names, cells, strict=True)],
        columns=[tex(name) for name in (*table.headings, *map(text.heading, table.columns))],
    )
    notes = legend([table], "in brackets", "Bold", "Raised figures", text.DAGGER)
    written: str = frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        caption=" ".join(map(tex, (title, *notes))),
        label=label,
        column_format="l" * len(table.headings) + "r" * len(table.columns),
    )
    begin, rest = written.split("\\begin{tabular}", 1)
    return f"{begin}\\footnotesize\n\\begin{{tabular}}{rest}".rstrip("\n")


def _names(row: Row) -> Sequence[str]:
    first, *rest = row.names
    return [tex(f"{first} (control)" if row.control else first), *map(tex, rest)]


def _cell(table: Table, row: Row, index: int) -> str:
    """A value with its rank raised, the best in bold, and its interval in brackets below it."""
    cell = row.cells[index]
    if cell.value is None:
        return tex(text.status(cell))
    places = text.places(table, row, index)
    value = text.number(cell.value, places).replace("-", "$-$")
    shown = rf"\textbf{{{value}}}" if cell.best else value
    rank = "" if cell.rank is None else rf"\textsuperscript{{{cell.rank}}}"
    interval = text.interval(cell, places, ", ").replace("-", "$-$")
    below = rf"{{\scriptsize [{interval}]}}" if interval else ""
    lines = [line for line in (shown + rank, below, text.outcome(cell)) if line]
    stacked = r"\\".join(lines)
    return stacked if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"
