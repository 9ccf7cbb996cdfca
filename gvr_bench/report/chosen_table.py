"""One table of chosen scores and explainers out of all scoreboards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gvr_bench.core.errors import UsageError
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.report.tables import Cell, Row, Table


def chosen(
    boards: Sequence[Table], columns: Sequence[str] = (), explainers: Sequence[str] = ()
) -> Table:
    """All boards in one table with the columns of these metrics and the rows of these explainers.

    Both come in the order of their names; none stands for all. Ranks hold within a board.
    Raises `UsageError` for a score or an explainer that no board has.
    """
    known = {column.metric: column for board in boards for column in board.columns}
    names = list(dict.fromkeys(row.names[0] for board in boards for row in board.rows))
    for metric in columns:
        _check("score", metric, known)
    for name in explainers:
        _check("explainer", name, {*names, *map(_label, names)})
    metrics = list(columns) or list(known)
    order = list(explainers) or names
    several = {
        "data set": len({board.dataset for board in boards}) > 1,
        "model": len({board.model for board in boards}) > 1,
        "protocol": len({(b.dataset, b.model) for b in boards}) < len(boards),
    }
    rows = []
    for number, board in enumerate(boards, start=1):
        at = {column.metric: i for i, column in enumerate(board.columns)}
        about = (board.dataset, board.model, str(number))
        prefix = tuple(x for x, needed in zip(about, several.values(), strict=True) if needed)
        for row in _in_order(board.rows, order):
            cells = tuple(row.cells[at[m]] if m in at else Cell() for m in metrics)
            rows.append(Row((*prefix, *row.names), cells, row.role, row.facts))
    headings = (*(name for name, needed in several.items() if needed), "explainer")
    titles = {board.title for board in boards}
    title = titles.pop() if len(titles) == 1 else "Explainers"
    separated = [_separated(boards, m) for m in metrics]
    return Table(
        "scoreboard", title, "", "", headings,
        tuple(replace(known[m], separated=s) for m, s in zip(metrics, separated, strict=True)),
        tuple(rows), tuple(line for board in boards for line in board.apart),
    )  # fmt: skip


def _in_order(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of these explainers; a name stands for the rows of all runs that have it."""
    return [row for name in names for row in rows if name in (row.names[0], _label(row.names[0]))]


def _label(name: str) -> str:
    return name.partition(" [")[0]


def _separated(boards: Sequence[Table], metric: str) -> bool | None:
    """Whether any explainer beats all controls on a score, on any board that has it."""
    verdicts = [c.separated for board in boards for c in board.columns if c.metric == metric]
    known = [verdict for verdict in verdicts if verdict is not None]
    return any(known) if known else None


def _check(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UsageError(f"these runs have no {kind} '{name}'{did_you_mean(name, known)}")
