"""The main picture of a run: one case, as the explainer that leads the scoreboard explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import (
    Tile,
    amount,
    change_scale,
    heat_scale,
    known,
    label_of,
    named,
    predicted,
    shown,
)
from gvr_bench.report.metric_info import entry
from gvr_bench.report.tables import Row, Table, best_control, leading_column

_EDGE = 256


@dataclass(frozen=True)
class FirstCase:
    """Pictures of one case; `case_rule` and `rule` say why it is this case and this explainer.

    `after` is what the model predicts of the counterfactual, where there is one. `change` is
    whether full colour is a change of intensity, which is `scale`.
    """

    tiles: tuple[Tile, ...]
    title: str
    label: str
    prediction: str
    after: str
    case_rule: str
    explainer: str
    rule: str
    scale: str
    change: bool
    crisp: bool


def first_case(combinations: Sequence[Combination], boards: Sequence[Table]) -> FirstCase | None:
    """Draw the first case in which the model sees the finding; None where nothing is explained.

    The case is taken before anybody looks at what came of it, and so is not one that went well.
    """
    for c in combinations:
        board = next((b for b in boards if (b.dataset, b.model) == (c.dataset, c.model)), None)
        explainer, rule = _leader(c, board)
        predicted = c.predicts_source
        i = next((i for i in range(len(c)) if predicted is None or predicted[i]), None)
        if explainer is not None and i is not None:
            return _drawn(c, explainer, i, rule)
    return None


def _leader(c: Combination, board: Table | None) -> tuple[Explained | None, str]:
    """Whose map to show, and why: the first of the scoreboard that is no control."""
    drawable = {e.name: e for e in shown(c) if not e.control}
    leading = leading_column(board.rows, board.columns) if board else None
    if board and leading is not None:
        for row in board.rows:
            if row.names[0] in drawable and row.cells[leading].value is not None:
                title = entry(board.columns[leading].metric).title
                aside = "" if beats_control(board, row, leading) else ", controls aside"
                return drawable[row.names[0]], f"is best on {title}{aside}"
    first = next(iter(drawable.values()), None)
    return first, "comes first in the run"


def beats_control(board: Table, row: Row, index: int) -> bool:
    """Whether the value of a row is at least that of every control."""
    best, column = best_control(board, index), board.columns[index]
    mine, bar = row.cells[index].value, best.cells[index].value if best else None
    if mine is None or bar is None:
        return True
    return mine >= bar if column.better == "up" else mine <= bar


def _drawn(c: Combination, e: Explained, i: int, rule: str) -> FirstCase:
    assert e.attribution is not None
    change = change_scale(c)
    scale = heat_scale(e, change)
    name = c.sample_id[i]
    tiles = [
        Tile(pictures.plain(c.input[i], _EDGE), f"Input image {name}", "input"),
        *known(c, i, change, _EDGE),
        Tile(
            pictures.overlay(c.input[i], e.attribution[i], scale, _EDGE),
            f"{'Rationale' if e.counterfactual is not None else 'Map'} of {e.name} over {name}",
            f"{e.name}: {'rationale' if e.counterfactual is not None else 'map'}",
        ),
    ]
    if e.counterfactual is not None:
        picture = pictures.plain(e.counterfactual[i], _EDGE)
        tiles.append(Tile(picture, f"Counterfactual of {name} by {e.name}", "its counterfactual"))
    return FirstCase(
        tiles=tuple(tiles),
        title=name,
        label=label_of(c, i),
        prediction=f"{named(c, i)}{predicted(c, i)}",
        after="" if e.after is None or not math.isfinite(e.after[i]) else amount(c, e.after[i]),
        case_rule="first test case" if i == 0 else "first test case that the model predicts",
        explainer=e.name,
        rule=rule,
        scale=f"{scale:.2g}",
        change=e.counterfactual is not None,
        crisp=pictures.is_crisp(c.size),
    )
