"""What the scoreboards support: who is told apart from the controls, on which question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gvr_bench.metrics import Group
from gvr_bench.report import formatting as text
from gvr_bench.report.metric_info import OTHER, entry, group_of, in_order, is_cost
from gvr_bench.report.scores.tables import Row, Table

_MOST = 6


@dataclass(frozen=True)
class Belief:
    """One question with what the numbers say of it; `about` is the model, where several are."""

    about: str
    question: str
    answer: str


def beliefs(boards: Sequence[Table]) -> list[Belief]:
    """One sentence or two per question of each scoreboard, and what no control can be held to."""
    found = []
    for board in boards:
        about = board.title if len(boards) > 1 else ""
        if not any(row.control for row in board.rows):
            continue
        groups = in_order({group_of(column.group).name for column in board.columns})
        alone: list[str] = []
        for group in groups:
            columns = _asking(board, group)
            contested = [index for index in columns if _contested(board, index)]
            if contested:
                found.append(Belief(about, group.title, _answer(board, contested)))
            elif columns:
                alone.append(group.title.lower())
        if alone:
            answer = (
                "No control has a score here: a rank says which explainer does better, "
                "and not that any does well."
            )
            found.append(Belief(about, _joined(alone).capitalize(), answer))
    return found


def beats(board: Table, row: Row, index: int) -> bool | None:
    """Whether a row does better than every control: by a paired test, else by its interval.

    None where it has no score, or no control has one.
    """
    cell, sign = row.cells[index], 1.0 if board.columns[index].better == "up" else -1.0
    if cell.clear is not None:
        return cell.clear
    bars = [
        sign * value
        for control in board.rows
        if control.control and (value := control.cells[index].value) is not None
    ]
    ends = [sign * end for end in (cell.low, cell.high, cell.value) if end is not None]
    return min(ends) > max(bars) if bars and ends else None


def _asking(board: Table, group: Group) -> list[int]:
    """Positions of the scores of a group that say who is good; cost says nothing of that."""
    return [
        index
        for index, column in enumerate(board.columns)
        if group_of(column.group) == group != OTHER
        and column.better != "-"
        and not is_cost(column.metric)
        and any(row.cells[index].value is not None for row in board.rows)
    ]


def _contested(board: Table, index: int) -> bool:
    return any(beats(board, row, index) is not None for row in board.rows if not row.control)


def _answer(board: Table, columns: Sequence[int]) -> str:
    """Who is told apart from every control, who leads, and which scores show nothing."""
    rivals = [row for row in board.rows if not row.control]
    telling = [i for i in columns if any(beats(board, row, i) for row in rivals)]
    empty = [i for i in columns if i not in telling]
    if not telling:
        return f"Nobody does better than every control on {_titles(board, empty)}."
    won = {row.names[0]: sum(bool(beats(board, row, i)) for i in telling) for row in rivals}
    led = {row.names[0]: sum(row.cells[i].best for i in telling) for row in rivals}
    asked = {
        row.names[0] for row in rivals if any(beats(board, row, i) is not None for i in columns)
    }
    none = [name for name, count in won.items() if not count and name in asked]
    strong = [name for name, count in won.items() if 2 * count > len(telling)]
    every = all(won[name] == len(telling) for name in strong)
    first = [name for name, count in led.items() if count == max(led.values()) > 0]
    return " ".join(
        (
            _who(_scores(board, telling, every), strong, none, len(telling)),
            *_leads(first, strong, max(led.values()), len(telling)),
            *_nothing(board, empty),
        )
    )


def _scores(board: Table, telling: Sequence[int], every: bool) -> str:
    """`all 9 scores`, of those that tell anybody from the controls."""
    if len(telling) == 1:
        return _titles(board, telling)
    if every:
        return "both scores" if len(telling) == 2 else f"all {len(telling)} scores"
    return f"most of the {len(telling)} scores"


def _who(where: str, strong: list[str], none: list[str], scores: int) -> str:
    rest = f"; {_joined(none)} {f'{_do(none)} not' if scores == 1 else 'on none'}" if none else ""
    return (
        f"{_joined(strong) or 'Nobody'} {_do(strong)} better than every control on {where}{rest}."
    )


def _leads(first: list[str], strong: list[str], count: int, scores: int) -> Iterable[str]:
    """Who is best on the most scores, unless nobody is, or all that were named already."""
    if first and first != strong:
        on = "" if scores == 1 else f" on {'all' if count == scores else count}"
        yield f"{_joined(first)} {'leads' if len(first) == 1 else 'lead'}{on}."


def _nothing(board: Table, empty: Sequence[int]) -> Iterable[str]:
    if empty:
        verb = "shows" if len(empty) == 1 else "show"
        titles = _titles(board, empty)
        yield f"{titles[:1].upper()}{titles[1:]} {verb} nothing: nobody beats every control there."


def _titles(board: Table, columns: Sequence[int]) -> str:
    return _joined([entry(board.columns[index].metric).title for index in columns])


def _do(names: Sequence[str]) -> str:
    return "do" if len(names) > 1 else "does"


def _joined(names: Sequence[str]) -> str:
    """`a, b and c`, or `a, b, c, d and 3 more`; names with commas of their own are kept apart."""
    if not names:
        return ""
    if len(names) > _MOST + 1:
        return text.listed(names, _MOST)
    comma = "; " if any(", " in name for name in names) else ", "
    *rest, last = names
    return f"{comma.join(rest)} and {last}" if rest else last
