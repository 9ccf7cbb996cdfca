"""The picture table: rows are images, columns explainers; each map alone and over the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import (
    UNSEEN,
    Tile,
    absent,
    amount,
    bare,
    change_scale,
    heat_scale,
    known,
    label_of,
    named,
    outcome,
    predicted,
    shown,
)

MIN_EXPLAINERS = 3
"""Fewer explainers of a single model are compared as easily in the gallery."""

_EDGE = 128
_QUALITY = 80  # of WebP


@dataclass(frozen=True)
class Column:
    """What a column shows; `scale` is the value in full colour."""

    name: str
    scale: str


@dataclass(frozen=True)
class Row:
    """One case; each cell holds the map alone, where there is one, and over the image."""

    title: str
    label: str
    prediction: str
    note: str
    input: Tile
    cells: tuple[tuple[Tile, ...], ...]


@dataclass(frozen=True)
class Maps:
    """One model's maps: a row per case, a column per explainer, behind the truth if it is known."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: int
    absent: tuple[str, ...]
    mask: bool
    crisp: bool


def maps(combinations: Sequence[Combination], rows: int) -> list[Maps]:
    """One table per model, of its first cases, in the colours that all its cases share.

    None for a single model with fewer than `MIN_EXPLAINERS` explainers that are no controls.
    """
    compared = [(c, [e for e in shown(c) if not e.control]) for c in combinations]
    compared = [(c, explainers) for c, explainers in compared if explainers and len(c)]
    if len(compared) == 1 and len(compared[0][1]) < MIN_EXPLAINERS:
        return []
    return [_view(c, explainers, rows) for c, explainers in compared]


def _view(c: Combination, explainers: Sequence[Explained], rows_shown: int) -> Maps:
    change = change_scale(c)
    scales = [heat_scale(e, change) for e in explainers]
    truths = [known(c, i, change, _EDGE) for i in range(min(len(c), rows_shown))]
    heading = max((tile.caption for truth in truths for tile in truth), key=len, default="")
    columns = [Column(e.name, f"{s:.2g}") for e, s in zip(explainers, scales, strict=True)]
    rows = []
    for i, truth in enumerate(truths):
        cells = [_cell(c, e, i, s) for e, s in zip(explainers, scales, strict=True)]
        if heading:
            cells.insert(0, (*_true_change(c, i, change), *(replace(t, caption="") for t in truth)))
        rows.append(_row(c, i, cells))
    if heading:
        columns.insert(0, Column(heading, "" if c.true_change is None else f"{change:.2g}"))
    return Maps(
        title=f"{c.model}, seed {c.seed}",
        columns=tuple(columns),
        rows=tuple(rows),
        total=c.total,
        absent=absent(c),
        mask=c.mask is not None and bool(c.mask.any()),
        crisp=pictures.is_crisp(c.size),
    )


def _row(c: Combination, i: int, cells: Sequence[tuple[Tile, ...]]) -> Row:
    title = c.sample_id[i]
    return Row(
        title=title,
        label=label_of(c, i),
        prediction=f"{named(c, i)}{predicted(c, i)}",
        note=UNSEEN if c.predicts_source is not None and not c.predicts_source[i] else "",
        input=Tile(
            pictures.plain(c.input[i], min(_EDGE, c.size), _QUALITY), f"Input image {title}", ""
        ),
        cells=tuple(cells),
    )


def _cell(c: Combination, e: Explained, i: int, scale: float) -> tuple[Tile, ...]:
    assert e.attribution is not None
    name, edge = c.sample_id[i], min(_EDGE, c.size)
    alone = pictures.difference(e.attribution[i], scale, edge, _QUALITY)
    over = pictures.overlay(c.input[i], e.attribution[i], scale, edge, _QUALITY)
    return (
        Tile(alone, f"Map of {e.name} alone, for image {name}", "", "difference"),
        Tile(over, f"Map of {e.name} over image {name}", _result(c, e, i)),
    )


def _result(c: Combination, e: Explained, i: int) -> str:
    """The prediction before and after, where there is a counterfactual."""
    if e.after is None or c.prediction is None or not math.isfinite(e.after[i]):
        return ""
    line = f"{bare(c, c.prediction[i])} → {amount(c, e.after[i])}"
    return f"{line}, decision not changed" if outcome(c, e, i) == "lost" else line


def _true_change(c: Combination, i: int, scale: float) -> tuple[Tile, ...]:
    if c.true_change is None:
        return ()
    alone = pictures.difference(c.true_change[i], scale, min(_EDGE, c.size), _QUALITY)
    return (Tile(alone, f"True change of image {c.sample_id[i]} alone", "", "difference"),)
