"""The same cases as several models of a run explain them, next to each other."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.pictures import Float
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import Tile, amount, bare, known, label_of, named, predicted
from gvr_bench.report.metric_info import is_control

_EDGE = 128


@dataclass(frozen=True)
class Answer:
    """A picture of one model for one case, with the prediction before → after."""

    tile: Tile
    line: str
    good: bool


@dataclass(frozen=True)
class Row:
    """One case; `known` is what is known to be true of it."""

    title: str
    label: str
    input: Tile
    known: Tile | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class SideBySide:
    """Models that explain the same cases, one column each.

    `scale` is the change of intensity in full colour, or nothing where no model makes
    counterfactuals; `known` heads the column of what is known to be true, where there is one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int
    explainers: str
    scale: str
    maps: bool
    known: str
    mask: bool
    crisp: bool


def side_by_side(combinations: Sequence[Combination], most: int) -> list[SideBySide]:
    """One view per data set and set of cases that at least two combinations explain.

    Of the first `most` cases, in the colours that all cases share.
    """
    groups: dict[Hashable, list[tuple[Combination, Explained]]] = {}
    for c in combinations:
        explainer = _chosen(c)
        if explainer is not None and len(c):
            groups.setdefault(_cases(c), []).append((c, explainer))
    return [_view(group, most) for group in groups.values() if len(group) > 1]


def _cases(c: Combination) -> Hashable:
    """What is the same where the same was asked of the same images."""
    asked = tuple(c.source.tolist()), tuple(c.target.tolist())
    return c.dataset, c.sample_id, *asked, c.input.shape, c.input.tobytes()


def _chosen(c: Combination) -> Explained | None:
    """`gvr`, else the first that makes counterfactuals, else the first that is no control."""
    usable = [e for e in c.explainers if e.attribution is not None and not is_control(e.name)]
    order = sorted(usable, key=lambda e: (e.counterfactual is None, e.name.split(":")[0] != "gvr"))
    return order[0] if order else None


def _view(group: Sequence[tuple[Combination, Explained]], most: int) -> SideBySide:
    first = group[0][0]
    names = short_names([c for c, _ in group])
    moving = any(e.counterfactual is not None for _, e in group)
    scales = _scales(group)
    shown = min(most, *(len(c) for c, _ in group))
    rows = tuple(_row(group, names, scales, i) for i in range(shown))
    return SideBySide(
        title=first.dataset,
        columns=tuple(names),
        rows=rows,
        total=min(c.total for c, _ in group),
        explainers=_explainers(group, names),
        scale=f"{scales['']:.2g}" if moving else "",
        maps=any(e.counterfactual is None for _, e in group),
        known=max((row.known.caption for row in rows if row.known), key=len, default=""),
        mask=first.mask is not None and bool(first.mask.any()),
        crisp=pictures.is_crisp(first.size),
    )


def short_names(combinations: Sequence[Combination]) -> list[str]:
    """What differs between the combinations only; whole names where nothing does."""
    parts = [(*c.model.split(" · "), f"seed {c.seed}") for c in combinations]
    whole = [f"{c.model}, seed {c.seed}" for c in combinations]
    if len({len(part) for part in parts}) > 1:
        return whole
    differing = [k for k, values in enumerate(zip(*parts, strict=True)) if len(set(values)) > 1]
    return [" · ".join(part[k] for k in differing) for part in parts] if differing else whole


def _unit_of(e: Explained) -> str:
    """What can share a scale: all changes of intensity (""), or maps of one explainer."""
    return "" if e.counterfactual is not None else e.name


def _scales(group: Sequence[tuple[Combination, Explained]]) -> dict[str, float]:
    """One scale for changes of intensity, the true change's where known, and one per map."""
    heats: dict[str, list[Float]] = {}
    for _, e in group:
        assert e.attribution is not None
        heats.setdefault(_unit_of(e), []).append(e.attribution)
    scales = {unit: pictures.symmetric_scale(np.concatenate(h)) for unit, h in heats.items()}
    truth = group[0][0].true_change
    if truth is not None and np.any(truth):
        scales[""] = pictures.symmetric_scale(truth)
    return {"": 1.0} | scales


def _explainers(group: Sequence[tuple[Combination, Explained]], names: Sequence[str]) -> str:
    """`gvr`, or `gvr (linear), saliency (mlp)` where they differ."""
    chosen = [e.name for _, e in group]
    if len(set(chosen)) == 1:
        return chosen[0]
    return ", ".join(f"{e} ({name})" for e, name in zip(chosen, names, strict=True))


def _row(
    group: Sequence[tuple[Combination, Explained]],
    names: Sequence[str],
    scales: dict[str, float],
    i: int,
) -> Row:
    c = group[0][0]
    title = c.sample_id[i]
    return Row(
        title=title,
        label=label_of(c, i),
        input=Tile(pictures.plain(c.input[i], _EDGE), f"Input image {title}", ""),
        known=next(iter(known(c, i, scales[""], _EDGE)), None),
        answers=tuple(
            _answer(c, e, name, scales[_unit_of(e)], i)
            for (c, e), name in zip(group, names, strict=True)
        ),
    )


def _answer(c: Combination, e: Explained, name: str, scale: float, i: int) -> Answer:
    assert e.attribution is not None
    picture = pictures.overlay(c.input[i], e.attribution[i], scale, _EDGE)
    tile = Tile(picture, f"Heat of {e.name} for {name} over image {c.sample_id[i]}", "")
    before = f"{named(c, i)}{predicted(c, i)}"
    if c.asked is not None and not c.asked[i]:
        return Answer(tile, f"{before} · not seen by the model", good=True)
    if e.after is None or c.prediction is None or not math.isfinite(e.after[i]):
        line = before
    else:
        line = f"{named(c, i)}{bare(c, c.prediction[i])} → {amount(c, e.after[i])}"
    found = e.found is None or bool(e.found[i])
    return Answer(tile, line if found else f"{line} · not found", found)
