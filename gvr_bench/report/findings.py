"""What a reader should know first: headline numbers, and what to be wary of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gvr_bench.report import text
from gvr_bench.report.folder import Run
from gvr_bench.report.glossary import Entry, entry
from gvr_bench.report.tables import Cell, Table

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
        order = sorted(range(len(table.columns)), key=lambda i: not _entry(table, i).truth)
        for index in [i for i in order if not _entry(table, i).cost]:
            rows = [row for row in table.rows if row.cells[index].value is not None]
            leaders = [row for row in rows if row.cells[index].best] or rows[: len(rows) == 1]
            if leaders:
                names = text.listed([row.names[0] for row in leaders], 2)
                names += f", {table.model}" if len(boards) > 1 else ""
                found.append(_headline(table, index, leaders[0].cells[index], names))
    return found[:_MOST]


def _entry(table: Table, index: int) -> Entry:
    return entry(table.columns[index].metric)


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
    """Explainers whose interval does not clear the best control, per score against truth."""
    if not any(row.control for row in table.rows):
        yield "No control explainer was run, so there is nothing to beat."
        return
    for index, column in enumerate(table.columns):
        sign = {"up": 1.0, "down": -1.0, "-": 0.0}[column.better]
        rivals = [
            (sign * row.cells[index].value, row.names[0])  # type: ignore[operator]
            for row in table.rows
            if row.control and row.cells[index].value is not None
        ]
        if not entry(column.metric).truth or not sign or not rivals:
            continue
        bar, control = max(rivals)
        weak = [
            row.names[0]
            for row in table.rows
            if not row.control and _worst(row.cells[index], sign, bar)
        ]
        if weak:
            verb = "does" if len(weak) == 1 else "do"
            yield (
                f"{text.listed(weak)} {verb} not clearly beat the control {control} "
                f"on {entry(column.metric).title}."
            )


def _worst(cell: Cell, sign: float, bar: float) -> bool:
    """Whether the bad end of the interval is no better than the bar."""
    if cell.value is None:
        return False
    ends = [sign * end for end in (cell.low, cell.high, cell.value) if end is not None]
    return min(ends) <= bar


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
