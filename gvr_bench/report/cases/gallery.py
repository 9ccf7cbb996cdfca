"""The gallery of a page: the first cases of each model, with pictures, filters and a sort order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from numpy.typing import NDArray

from gvr_bench.metrics import DECLARED
from gvr_bench.report.cases import case_view
from gvr_bench.report.cases.case_view import CaseView, Scores, Tile
from gvr_bench.report.cases.cases_file import Combination, Explained
from gvr_bench.report.figures import model_name
from gvr_bench.report.metric_info import entry
from gvr_bench.results.case_scores import RunValues

MAX_CASES = 100
"""Cases of one page; `gvr-bench export` writes the pictures of all."""

_SHOWN_BESIDE = frozenset({"steps", "optimizer_steps", "validity"})  # with the case already
_OUTCOMES = {
    "found": "decision changed",
    "lost": "decision not changed",
    "unseen": "not seen by the model",
    "convinced": "oracle convinced",
    "unconvinced": "oracle not convinced",
    "abstains": "oracle abstains",
}


@dataclass(frozen=True)
class Case:
    """One case: words, what is known of it, and maps.

    `searches` holds by explainer its rationale, moments of its search, of which the last is the
    counterfactual, and what the first is.
    """

    view: CaseView
    known: tuple[Tile, ...]
    searches: Mapping[str, tuple[Tile, tuple[Tile, ...], str]]
    maps: tuple[Tile, ...]
    controls: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """The cases of one model. `data` is JSON that the script filters and sorts by."""

    title: str
    cases: tuple[Case, ...]
    total: int
    data: Markup
    outputs: tuple[str, ...]
    outcomes: Mapping[str, str]
    sorts: tuple[str, ...]


def galleries(combinations: Sequence[Combination], values: RunValues) -> list[Gallery]:
    """Draw the cases of all models: `MAX_CASES` of one page, shared out evenly."""
    models = [c for c in combinations if len(c)]
    each = max(1, MAX_CASES // max(1, len(models)))
    return [_gallery(c, min(len(c), each), values) for c in models]


def _gallery(c: Combination, k: int, values: RunValues) -> Gallery:
    scores = case_view.scores_of(c, values)
    outcomes = {e.name: [_outcomes(c, e, i, scores) for i in range(k)] for e in case_view.moving(c)}
    sorts = dict(_sorts(c, k, scores))
    present = {key for cases in outcomes.values() for keys in cases for key in keys}
    for pair in ({"found", "lost"}, {"convinced", "unconvinced"}):
        present |= pair if present & pair else set()
    outputs = [_output(c, i) for i in range(k)]
    data = {"names": c.sample_id[:k], "outputs": outputs, "outcomes": outcomes, "sorts": sorts}
    change = case_view.change_scale(c)
    scales = {e.name: case_view.heat_scale(e, change) for e in case_view.shown(c)}
    return Gallery(
        title=model_name(c),
        cases=tuple(_case(c, i, change, scales) for i in range(k)),
        total=c.total,
        data=htmlsafe_json_dumps(data, separators=(",", ":"), allow_nan=False),
        outputs=tuple(dict.fromkeys(outputs)),
        outcomes={key: title for key, title in _OUTCOMES.items() if key in present},
        sorts=tuple(sorts),
    )


def _case(c: Combination, i: int, change: float, scales: Mapping[str, float]) -> Case:
    def drawn(e: Explained, caption: str) -> Tile:
        return case_view.map_tile(c, e, i, scales[e.name], caption, f"{scales[e.name]:.2g}")

    name = c.sample_id[i]
    known = [case_view.image_tile(c.input[i], f"Input image {name}", "input")]
    if c.reconstruction is not None:
        alt = f"Reconstruction of image {name}"
        known.append(case_view.image_tile(c.reconstruction[i], alt, "reconstruction"))
    if truth := case_view.truth_tile(c, i, change):
        known.append(truth)
    maps = [e for e in case_view.shown(c) if e.control or e.counterfactual is None]
    return Case(
        view=case_view.view_case(c, i),
        known=tuple(known),
        searches={
            e.name: (
                drawn(e, "rationale"),
                tuple(_frames(c, e, i)),
                "input" if e.residual else "reconstruction",
            )
            for e in case_view.moving(c)
        },
        maps=tuple(drawn(e, e.name) for e in maps if not e.control),
        controls=tuple(drawn(e, e.name) for e in maps if e.control),
    )


def _frames(c: Combination, e: Explained, i: int) -> Iterator[Tile]:
    """From what a search begins with to the counterfactual, alone if the rest is not recorded."""
    assert e.counterfactual is not None
    moments = e.counterfactual[i][None] if e.trajectory is None else e.trajectory[i]
    steps = None if e.steps is None else int(e.steps[i])
    last = len(moments) - 1
    if not steps:  # nothing was searched
        moments, last = moments[-1:], 0
    for t, image in enumerate(moments):
        text = f"step {round(t / last * steps)} of {steps}" if last and steps else ""
        if e.trajectory_prediction is not None and math.isfinite(e.trajectory_prediction[i, t]):
            text += f" · prediction {case_view.amount(c, e.trajectory_prediction[i, t])}"
        what = "Counterfactual" if t == last else "Step towards the counterfactual"
        yield case_view.image_tile(image, f"{what} of image {c.sample_id[i]} by {e.name}", text)


def _output(c: Combination, i: int) -> str:
    source, target = c.outputs[int(c.source[i])], c.outputs[int(c.target[i])]
    return f"{source} into {target}" if c.kind == "multiclass" else source


def _outcomes(c: Combination, e: Explained, i: int, scores: Mapping[str, Scores]) -> list[str]:
    """What came of a case, and what the oracle makes of it where there is one."""
    result = case_view.outcome(c, e, i)
    judged = scores.get(e.name, {}).get("oracle_validity")
    if judged is None:
        return [result]
    if math.isfinite(judged[i]):
        return [result, "convinced" if judged[i] else "unconvinced"]
    return [result] if result == "unseen" else [result, "abstains"]


def _sorts(
    c: Combination, k: int, scores: Mapping[str, Scores]
) -> Iterator[tuple[str, dict[str, list[float | None]]]]:
    """Title -> explainer ("" for the case itself) -> a value per case, to sort by."""
    for title, own in (("label", c.label), ("prediction", c.prediction), ("oracle", c.oracle)):
        if own is not None:
            yield title, {"": _numbers(own[:k])}
    steps = {e.name: _numbers(e.steps[:k]) for e in case_view.moving(c) if e.steps is not None}
    if steps:
        yield "steps", steps
    names = {name for of in scores.values() for name in of} - _SHOWN_BESIDE
    for metric in [*(n for n in DECLARED if n in names), *sorted(names - set(DECLARED))]:
        known_of = [e.name for e in case_view.shown(c) if metric in scores.get(e.name, {})]
        yield entry(metric).title, {n: _numbers(scores[n][metric][:k]) for n in known_of}


def _numbers(values: NDArray[Any]) -> list[float | None]:
    """To four digits; None for what is not a number."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]
