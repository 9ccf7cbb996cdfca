"""What the script of a page needs to draw, filter and sort cases, as JSON beside their sheets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.metrics import DECLARED
from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.sprites import CheckReport, Encoding, Layers, frames, layers_of, sheets
from gvr_bench.report.cases.views import (
    CombinationView,
    change_scale,
    heat_scale,
    moving,
    outcome,
    shown,
    truth_of,
    view,
)
from gvr_bench.report.metric_info import entry, is_control, per_case
from gvr_bench.results.case_scores import RunValues

_CONVINCED = "oracle_validity"
_TOLD_ALREADY = frozenset({"steps", "validity"})  # beside the pictures and as the outcome

Scores = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Gallery:
    """The cases of one model in words, and what their pictures are drawn from.

    `sheets` are base64, one per case; `reduced` says how pictures lost detail, or nothing; `moves`
    whether any can be followed on its way to the counterfactual.
    """

    view: CombinationView
    data: Markup
    sheets: tuple[str, ...]
    reduced: str
    moves: bool


def galleries(combinations: Sequence[Combination], values: RunValues) -> list[Gallery]:
    """Draw all cases of all models within one budget of bytes."""
    every = [layers_of(c) for c in combinations if len(c)]
    encoding, drawn = sheets(every)
    parts = iter(zip(every, drawn, strict=True))
    return [
        _gallery(c, *next(parts), encoding, values)
        if len(c)
        else Gallery(view(c), Markup("{}"), (), "", moves=False)
        for c in combinations
    ]


def _gallery(
    c: Combination,
    layers: Layers,
    drawn: Sequence[CheckReport],
    encoding: Encoding,
    values: RunValues,
) -> Gallery:
    scores = _scores(c, values)
    data = {
        **_form(drawn[0], encoding),
        "channels": c.input.shape[1],
        "crisp": pictures.is_crisp(c.size),
        "palette": pictures.palette(),
        "places": layers.places,
        "reach": layers.reach,
        "scale": change_scale(c),
        "unit": c.unit if c.kind == "regression" else None,
        "metrics": _titles(scores.values()),
        "cases": _cases(c),
        "explainers": [_explainer(c, e, scores.get(e.name, {})) for e in shown(c)],
    }
    return Gallery(
        view=view(c),
        data=htmlsafe_json_dumps(data, separators=(",", ":"), allow_nan=False),
        sheets=tuple(sheet.text for sheet in drawn),
        reduced=_reduced(encoding),
        moves=any(e.path is not None for e in moving(c)),
    )


def _form(sheet: CheckReport, encoding: Encoding) -> dict[str, Any]:
    """How a sheet is read: all sheets of a model are alike."""
    return {
        "type": encoding.type,
        "exact": encoding.exact,
        "columns": sheet.columns,
        "width": sheet.width,
        "height": sheet.height,
        "cell": sheet.cell,
    }


def _cases(c: Combination) -> dict[str, Any]:
    """Columns of k values each."""
    found = [_finding(c, i) for i in range(len(c))]
    return {
        "name": c.sample_id,
        "finding": found if len(set(found)) > 1 else None,
        "truth": [truth_of(c, i) for i in range(len(c))],
        "label": _numbers(c.label),
        "prediction": None if c.prediction is None else _numbers(c.prediction),
        "oracle": None if c.oracle is None else _numbers(c.oracle),
    }


def _finding(c: Combination, i: int) -> str:
    source, target = c.outputs[int(c.source[i])], c.outputs[int(c.target[i])]
    return f"{source} into {target}" if c.kind == "multiclass" else source


def _explainer(c: Combination, e: Explained, scores: Scores) -> dict[str, Any]:
    """One explainer; `moments` are predictions from the reconstruction to the counterfactual."""
    kind = "control" if is_control(e.name) else "map"
    about: dict[str, Any] = {
        "name": e.name,
        "kind": kind if e.counterfactual is None else "moving",
        "full": f"{heat_scale(e, change_scale(c)):.2g}",
        "scores": {name: _numbers(of) for name, of in scores.items() if name not in _TOLD_ALREADY},
    }
    if e.counterfactual is None:
        return about
    return about | {
        "frames": frames(e),
        "outcome": [outcome(c, e, i) for i in range(len(c))],
        "convinced": _numbers(scores[_CONVINCED]) if _CONVINCED in scores else None,
        "steps": None if e.steps is None else e.steps.tolist(),
        "moments": None
        if e.trajectory_prediction is None
        else [*map(_numbers, e.trajectory_prediction)],
    }


def _scores(c: Combination, values: RunValues) -> Mapping[str, Scores]:
    """By explainer and metric the values (k,) of the cases, where they differ at all."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for (whose, metric), every in values.values.items():
        model = f"{whose.generator} · {whose.encoder} · {whose.head}"
        mine = (whose.dataset, model, whose.seed) == (c.dataset, c.model, c.seed)
        if not (mine and whose.explainer and per_case(metric) and len(every) >= len(c)):
            continue
        if np.isfinite(every[: len(c)]).any():
            name = whose.explainer.replace("/", SLASH)
            found.setdefault(name, {})[metric] = every[: len(c)]
    return found


def _titles(scores: Iterable[Scores]) -> dict[str, str]:
    """What the metrics are called, in the order in which they are declared."""
    names = {name for of in scores for name in of} - _TOLD_ALREADY
    order = [*(name for name in DECLARED if name in names), *sorted(names - set(DECLARED))]
    return {name: entry(name).title for name in order}


def _numbers(values: NDArray[Any]) -> list[float | None]:
    """To four digits, of which nobody sees more; None for what is not a number."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]


def _reduced(encoding: Encoding) -> str:
    if encoding.exact and encoding.shrink == 1:
        return ""
    how = [f"made {encoding.shrink} times smaller each way"] if encoding.shrink > 1 else []
    if not encoding.exact:
        how.append(f"compressed with loss (WebP, quality {encoding.quality})")
    return f"So that this page stays small, the pictures of its cases are {' and '.join(how)}."
