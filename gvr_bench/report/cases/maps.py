"""The picture table: rows are images, columns the truth and the explainers' maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import (
    UNSEEN,
    CaseView,
    Tile,
    absent,
    amount,
    bare,
    change_scale,
    heat_scale,
    known,
    map_tile,
    outcome,
    question,
    shown,
    view_case,
)
from gvr_bench.report.figures import model_name


@dataclass(frozen=True)
class Column:
    """What a column shows; `scale` is the value in full colour."""

    name: str
    scale: str


@dataclass(frozen=True)
class Row:
    """One case with a picture per column; the image itself comes first."""

    view: CaseView
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Maps:
    """One model's maps: a row per case, a column per explainer, behind the truth if it is known.

    `choice` says in words which cases these are.
    """

    title: str
    question: str
    choice: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    absent: tuple[str, ...]
    mask: bool


def maps(
    combinations: Sequence[Combination],
    rows: int,
    order: Sequence[str] = (),
    all_cases: bool = False,
) -> list[Maps]:
    """One table per model of its first predicted cases, or of `all_cases`, at most `rows`.

    Explainers come in the `order` of their names; controls are left out, unless there is nothing
    else.
    """
    return [view(c, _first(c, rows, all_cases), order) for c in combinations]


def view(c: Combination, indices: Sequence[int], order: Sequence[str] = ()) -> Maps:
    """The maps of some cases of one model."""
    explainers = [e for e in shown(c) if not e.control] or shown(c)
    place = {name: i for i, name in enumerate(order)}
    explainers.sort(key=lambda e: place.get(e.name, len(place)))
    change = change_scale(c)
    scales = [heat_scale(e, change) for e in explainers]
    truths = [known(c, i, change) for i in indices]
    columns = [Column(e.name, f"{s:.2g}") for e, s in zip(explainers, scales, strict=True)]
    if any(truths):
        heading = "true change" if c.true_change is not None else "finding"
        columns.insert(0, Column(heading, "" if c.true_change is None else f"{change:.2g}"))
    rows = []
    for i, truth in zip(indices, truths, strict=True):
        tiles = [replace(truth or Tile("", "", ""), caption="")] if any(truths) else []
        tiles += [
            map_tile(c, e, i, s, _result(c, e, i)) for e, s in zip(explainers, scales, strict=True)
        ]
        rows.append(_row(c, i, tiles))
    mask = c.mask is not None and bool(c.mask.any())
    title = model_name(c)
    choice = _choice(c, indices)
    return Maps(title, question(c), choice, tuple(columns), tuple(rows), absent(c), mask)


def _first(c: Combination, count: int, all_cases: bool) -> list[int]:
    """Positions of the first cases that the model predicts; of the first where it predicts none."""
    predicts = c.predicts_source
    if all_cases or predicts is None or not predicts.any():
        return list(range(len(c)))[:count]
    return [i for i in range(len(c)) if predicts[i]][:count]


def _choice(c: Combination, indices: Sequence[int]) -> str:
    first = "first" if indices == list(range(len(indices))) else "first predicted"
    return f"the {first} {len(indices)} of {c.total} cases"


def _row(c: Combination, i: int, tiles: Sequence[Tile]) -> Row:
    described = view_case(c, i)
    if c.predicts_source is not None and not c.predicts_source[i]:
        described = replace(described, note=UNSEEN)
    image = Tile(pictures.uri(pictures.plain(c.input[i])), f"Input image {c.sample_id[i]}", "")
    return Row(described, (image, *tiles))


def _result(c: Combination, e: Explained, i: int) -> str:
    """The prediction before and after, where there is a counterfactual."""
    if e.after is None or c.prediction is None or not math.isfinite(e.after[i]):
        return ""
    line = f"{bare(c, c.prediction[i])} → {amount(c, e.after[i])}"
    return f"{line}, decision not changed" if outcome(c, e, i) == "lost" else line
