"""What a reader should know first: headline numbers, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gvr_bench.report import text
from gvr_bench.report.blocks import telling
from gvr_bench.report.folder import Run
from gvr_bench.report.glossary import entry, is_cost, is_truth
from gvr_bench.report.tables import Cell, Row, Table

_MOST = 5


@dataclass(frozen=True)
class Headline:
    """One number with what it is about."""

    title: str
    value: str
    interval: str
    about: str


def headlines(models: Sequence[Table], boards: Sequence[Table]) -> list[Headline]:
    """The model's first score, then who leads: ground truth first, cost not at all."""
    found = []
    for table in models[:1]:
        cell = table.rows[0].cells[0] if table.columns else Cell()
        if cell.value is not None:
            about = table.rows[0].names[0] if "model" in table.headings else "the model"
            found.append(_headline(table, 0, cell, about))
    for table in boards[:1]:
        for index in _worth_telling(table):
            rows = [row for row in table.rows if row.cells[index].value is not None]
            leaders = [row for row in rows if row.cells[index].best] or rows[: len(rows) == 1]
            if leaders:
                names = text.listed([row.names[0] for row in leaders], 2)
                names += f", {table.model}" if len(boards) > 1 else ""
                found.append(_headline(table, index, leaders[0].cells[index], names))
    return found[:_MOST]


def _worth_telling(table: Table) -> list[int]:
    """Positions of quality scores: two of ground truth, one of each other group, then the rest."""
    order = [i for i in telling(table) if not is_cost(table.columns[i].metric)]
    most = {"truth": 2}
    first: list[int] = []
    for index in order:
        group = table.columns[index].group
        if sum(table.columns[i].group == group for i in first) < most.get(group, 1):
            first.append(index)
    return first + [index for index in order if index not in first]


def _headline(table: Table, index: int, cell: Cell, about: str) -> Headline:
    column, places = table.columns[index], text.digits(table, index)
    value = text.number(cell.value or 0.0, places)
    unit = f" {column.unit}" if column.unit else ""
    span = text.interval(cell, places, " to ")
    return Headline(entry(column.metric).title, value + unit, span, about)


def cautions(run: Run, models: Sequence[Table], boards: Sequence[Table]) -> list[str]:
    """What the numbers do not support, and what did not finish."""
    found = [
        f"{stage.kind} {stage.name} {stage.status}: {stage.reason or 'no reason given'}"
        for stage in run.environment.stages
        if stage.status in ("failed", "skipped")
    ]
    for tables, checks in ((models, (_near_chance,)), (boards, (_against_controls, _fooled))):
        for table in tables:
            lines = [line for check in checks for line in check(table)]
            found += [f"{table.title}: {line}" for line in lines] if len(tables) > 1 else lines
    return found


def _near_chance(table: Table) -> Iterable[str]:
    for index, column in enumerate(table.columns):
        if column.metric != "auroc":
            continue
        for row in table.rows:
            cell = row.cells[index]
            if cell.low is not None and cell.high is not None and cell.low <= 0.5 <= cell.high:
                span = text.interval(cell, 2, " to ")
                yield (
                    f"The AUROC of {' '.join(row.names)}, {span}, includes chance (0.5): "
                    "what is explained may be noise."
                )


def _against_controls(table: Table) -> Iterable[str]:
    """Explainers that do not do better than every control, per score against ground truth."""
    if not any(row.control for row in table.rows):
        yield "No control explainer was run, so there is nothing to beat."
        return
    weak: dict[tuple[str, ...], list[str]] = {}
    rivals = [row for row in table.rows if not row.control]
    for index, column in enumerate(table.columns):
        if is_truth(column.metric) and column.better != "-":
            names = tuple(row.names[0] for row in rivals if _weak(table, row, index))
            weak.setdefault(names, []).append(entry(column.metric).title)
    for names, titles in weak.items():
        if names:
            verb = "does" if len(names) == 1 else "do"
            yield (
                f"{text.listed(names)} {verb} not clearly beat the controls "
                f"on {text.listed(titles)}."
            )


def _weak(table: Table, row: Row, index: int) -> bool:
    """Whether a row is not told apart from a control: by a paired test, else by its interval."""
    cell, sign = row.cells[index], 1.0 if table.columns[index].better == "up" else -1.0
    if cell.clear is not None:
        return not cell.clear
    bars = [
        sign * control.cells[index].value  # type: ignore[operator]
        for control in table.rows
        if control.control and control.cells[index].value is not None
    ]
    ends = [sign * end for end in (cell.low, cell.high, cell.value) if end is not None]
    return bool(bars) and bool(ends) and min(ends) <= max(bars)


def _fooled(table: Table) -> Iterable[str]:
    """Explainers that flip the latent but not the image: their intervals do not even touch."""
    at = {column.metric: index for index, column in enumerate(table.columns)}
    if "validity" not in at or "reencoded_validity" not in at:
        return
    for row in table.rows:
        latent, image = row.cells[at["validity"]], row.cells[at["reencoded_validity"]]
        if latent.low is not None and image.high is not None and image.high < latent.low:
            yield (
                f"{row.names[0]} flips {latent.value:.0%} of latents but only "
                f"{image.value:.0%} of the decoded images. It may move the latent where the "
                "picture does not follow."
            )
