"""Cases as a page shows them: who they are, what was predicted, and what each explainer did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.cases_file import Combination, Explained, Float
from gvr_bench.report.metric_info import per_case
from gvr_bench.results.case_scores import RunValues
from gvr_bench.results.records import model_label

UNSEEN = "the model does not predict this output: nothing to explain, not scored"
Scores = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Tile:
    """One picture as a data URI; `contour` is a transparent one over it.

    `scale` is the value in full colour of a map.
    """

    source: str
    alt: str
    caption: str = ""
    scale: str = ""
    contour: str = ""


@dataclass(frozen=True)
class Line:
    """What one explainer that makes counterfactuals did with a case, and whether it went well."""

    explainer: str
    text: str
    good: bool = True


@dataclass(frozen=True)
class CaseView:
    """One case in words; `oracle` is the prediction of an independent model; `note` warns."""

    title: str
    patient: str
    label: str
    prediction: str
    oracle: str
    lines: tuple[Line, ...]
    note: str = ""


def absent(c: Combination) -> tuple[str, ...]:
    """The explainers without a map, and why there is none."""
    return tuple(
        f"{e.name}: {e.status}: {e.reason or 'no reason given'}"
        for e in c.explainers
        if e.attribution is None
    )


def shown(c: Combination) -> list[Explained]:
    """Explainers with maps, in their order: counterfactuals, attributions, controls."""
    usable = [e for e in c.explainers if e.attribution is not None]
    return sorted(usable, key=lambda e: (e.control, e.counterfactual is None))


def moving(c: Combination) -> list[Explained]:
    """The explainers whose counterfactuals are shown, in their order; controls show maps."""
    return [e for e in shown(c) if e.counterfactual is not None and not e.control]


def change_scale(c: Combination) -> float:
    """One scale for all that is measured in intensity: the true change, where it is known."""
    if c.true_change is not None and np.any(c.true_change):
        return map_colours.symmetric_scale(c.true_change)
    changes = [_change(c, e) for e in moving(c) if len(c)]
    return map_colours.symmetric_scale(np.stack(changes)) if changes else 1.0


def _change(c: Combination, e: Explained) -> Float:
    """Reconstruction - counterfactual on [-1, 1], mean over channels: (k, H, W).

    Without a decoder, or with residual composition, it is the input that has changed.
    """
    assert e.counterfactual is not None
    before = c.input if e.residual or c.reconstruction is None else c.reconstruction
    change = before.astype(np.float32) - e.counterfactual
    return np.asarray(change.mean(axis=1) / 127.5, dtype=np.float32)


def heat_scale(explainer: Explained, change: float) -> float:
    """What full colour is in a map: `change` for changes of intensity, else its own."""
    moves = explainer.counterfactual is not None and not explainer.control
    if moves or explainer.attribution is None:
        return change
    return map_colours.symmetric_scale(explainer.attribution)


def outcome(c: Combination, e: Explained, i: int) -> str:
    """`found`, `lost` where no counterfactual was, or `unseen` where there was nothing to find."""
    if c.predicts_source is not None and not c.predicts_source[i]:
        return "unseen"
    return "found" if e.success is None or e.success[i] else "lost"


def scores_of(c: Combination, values: RunValues) -> Mapping[str, Scores]:
    """By explainer and metric the values of the cases, where any is known."""
    scores: dict[str, dict[str, NDArray[Any]]] = {}
    for (whose, metric), every in values.values.items():
        model = model_label(whose.generator, whose.encoder, whose.head)
        same = (whose.dataset, model, whose.seed) == (c.dataset, c.model, c.seed)
        if not (same and whose.explainer and per_case(metric) and len(every) >= len(c)):
            continue
        if np.isfinite(every[: len(c)]).any():
            name = whose.explainer.replace("/", SLASH)
            scores.setdefault(name, {})[metric] = every[: len(c)]
    return scores


def view_case(c: Combination, i: int) -> CaseView:
    whose = f"{c.outputs[int(c.source[i])]}: " if len(c.outputs) > 1 else ""
    return CaseView(
        title=c.sample_id[i],
        patient="" if c.patient_id[i] == c.sample_id[i] else c.patient_id[i],
        label=_label(c, i),
        prediction=f"{whose}{predicted(c, i)}",
        oracle=""
        if c.oracle is None or not math.isfinite(c.oracle[i])
        else whose + amount(c, c.oracle[i]),
        lines=tuple(_line(c, e, i) for e in moving(c)),
    )


def _label(c: Combination, i: int) -> str:
    value = float(c.label[i])
    if not math.isfinite(value):
        return "not labelled"
    if c.kind == "regression":
        return amount(c, value)
    if c.kind == "multiclass":
        return c.outputs[int(value)]
    return f"{c.outputs[int(c.source[i])]} {'present' if value >= 0.5 else 'absent'}"


def _line(c: Combination, e: Explained, i: int) -> Line:
    came = outcome(c, e, i)
    if came == "unseen":
        return Line(e.name, UNSEEN)
    steps = "" if e.steps is None else f"{e.steps[i]} step{'' if e.steps[i] == 1 else 's'}"
    text = " · ".join(filter(None, (_model(c, e, i), _oracle(c, e, i), steps)))
    if came == "found":
        return Line(e.name, text)
    why = e.reasons[i] if e.reasons is not None else ""
    return Line(e.name, f"{text} · decision not changed: {why or 'no reason given'}", good=False)


def _model(c: Combination, e: Explained, i: int) -> str:
    line = _class(c, i) + predicted(c, i)
    if e.after is not None and math.isfinite(e.after[i]):
        line += f" → {amount(c, e.after[i])}"
    if e.reencoded is not None and math.isfinite(e.reencoded[i]):
        line += f", re-encoded {amount(c, e.reencoded[i])}"
    return line


def _oracle(c: Combination, e: Explained, i: int) -> str:
    """Predictions of the oracle before and after; among classes, of the target as well."""
    if c.oracle is None or e.oracle_after is None or not math.isfinite(e.oracle_after[i]):
        return ""
    line = f"oracle {_class(c, i)}{amount(c, c.oracle[i])} → {amount(c, e.oracle_after[i])}"
    if c.kind != "multiclass" or c.oracle_target is None or e.oracle_target_after is None:
        return line
    reached = f"{amount(c, c.oracle_target[i])} → {amount(c, e.oracle_target_after[i])}"
    return f"{line}, {c.outputs[int(c.target[i])]}: {reached}"


def _class(c: Combination, i: int) -> str:
    return f"{c.outputs[int(c.source[i])]}: " if c.kind == "multiclass" else ""


def image_tile(image: map_colours.Bytes, alt: str, caption: str = "") -> Tile:
    return Tile(map_colours.uri(map_colours.plain(image)), alt, caption)


def map_tile(
    c: Combination, e: Explained, i: int, scale: float, caption: str, shown_scale: str = ""
) -> Tile:
    """The map of an explainer over case `i`; full colour is `scale`."""
    assert e.attribution is not None
    source = map_colours.uri(map_colours.overlay(c.input[i], e.attribution[i], scale))
    return Tile(source, f"Map of {e.name} over image {c.sample_id[i]}", caption, shown_scale)


def truth_tile(c: Combination, i: int, scale: float) -> Tile | None:
    """What is known to be true of case `i`; full colour is `scale`."""
    image, picture, parts, contour = c.input[i], map_colours.plain(c.input[i]), [], ""
    if c.true_change is not None:
        parts.append("true change")
        picture = map_colours.overlay(image, c.true_change[i], scale)
    if c.mask is not None and c.mask[i].any():
        parts.append("outline of the finding")
        contour = map_colours.uri(map_colours.contour(c.mask[i], 2 * map_colours.EDGE))
    caption = " and ".join(parts)
    alt = f"{caption} of {c.sample_id[i]}".capitalize()
    return Tile(map_colours.uri(picture), alt, caption, contour=contour) if parts else None


def amount(c: Combination, value: float, unit: bool = True) -> str:
    """A prediction with its unit, or as a probability."""
    if not math.isfinite(value):
        return "–"
    if c.kind != "regression":
        return f"{value:.2f}"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return f"{text} {c.unit}".strip() if unit else text


def predicted(c: Combination, i: int) -> str:
    return "–" if c.prediction is None else amount(c, c.prediction[i])


def question(c: Combination) -> str:
    if c.kind == "multiclass":
        pairs = dict.fromkeys(zip(c.source.tolist(), c.target.tolist(), strict=True))
        names = ", ".join(f"{c.outputs[a]} into {c.outputs[b]}" for a, b in pairs)
        return f"what would turn {names}?"
    names = ", ".join(dict.fromkeys(c.outputs[k] for k in c.source.tolist()))
    if c.threshold is None:
        return f"what would lower the predicted {names}?"
    return f"what would bring the predicted {names} below {amount(c, c.threshold)}?"
