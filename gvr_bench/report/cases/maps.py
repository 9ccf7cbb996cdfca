"""The picture table: rows are images, columns the truth and the explainers' maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gvr_bench.report.cases import case_view
from gvr_bench.report.cases.case_view import CaseView, Tile
from gvr_bench.report.cases.cases_file import Combination, Explained
from gvr_bench.report.figures import model_name


@dataclass(frozen=True)
class Row:
    """One case with a picture per column; the image itself comes first."""

    view: CaseView
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Maps:
    """One model's maps: a row per case, a column per explainer, behind the truth if it is known.

    `choice` says in words which cases these are; `columns` have the value in full colour.
    """

    title: str
    question: str
    choice: str
    columns: Mapping[str, str]
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
    tables = []
    for c in combinations:
        predicted = [i for i in range(len(c)) if c.predicts_source is None or c.predicts_source[i]]
        indices = (range(len(c)) if all_cases or not predicted else predicted)[:rows]
        tables.append(view(c, indices, order))
    return tables


def view(c: Combination, indices: Sequence[int], order: Sequence[str] = ()) -> Maps:
    explainers = [e for e in case_view.shown(c) if not e.control] or case_view.shown(c)
    place = {name: i for i, name in enumerate(order)}
    explainers.sort(key=lambda e: place.get(e.name, len(place)))
    change = case_view.change_scale(c)
    scales = [case_view.heat_scale(e, change) for e in explainers]
    truths = [case_view.truth_tile(c, i, change) for i in indices]
    columns = {}
    if any(truths):
        moves = c.true_change is not None
        columns = {"true change" if moves else "finding": f"{change:.2g}" if moves else ""}
    columns |= {e.name: f"{s:.2g}" for e, s in zip(explainers, scales, strict=True)}
    rows = []
    for i, truth in zip(indices, truths, strict=True):
        case = case_view.view_case(c, i)
        image = case_view.image_tile(c.input[i], f"Input image {c.sample_id[i]}")
        if c.predicts_source is not None and not c.predicts_source[i]:
            case = replace(case, note=case_view.UNSEEN)
        known = [replace(truth or Tile("", ""), caption="")] if any(truths) else []
        drawn = zip(explainers, scales, strict=True)
        tiles = [case_view.map_tile(c, e, i, scale, _result(c, e, i)) for e, scale in drawn]
        rows.append(Row(case, (image, *known, *tiles)))
    first = "first" if list(indices) == list(range(len(indices))) else "first predicted"
    return Maps(
        title=model_name(c),
        question=case_view.question(c),
        choice=f"the {first} {len(indices)} of {c.total} cases",
        columns=columns,
        rows=tuple(rows),
        absent=case_view.absent(c),
        mask=c.mask is not None and bool(c.mask.any()),
    )


def _result(c: Combination, e: Explained, i: int) -> str:
    if e.after is None or c.prediction is None or (after := case_view.amount(c, e.after[i])) == "–":
        return ""
    line = f"{case_view.amount(c, c.prediction[i], unit=False)} → {after}"
    return f"{line}, decision not changed" if case_view.outcome(c, e, i) == "lost" else line
