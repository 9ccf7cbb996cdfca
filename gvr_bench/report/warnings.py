"""What the numbers of a run do not support."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from gvr_bench.report import formatting as text
from gvr_bench.report.cases.cases_file import Combination, Curve
from gvr_bench.report.caveats import (
    CASES,
    CHANCE,
    LIMITS,
    MIN_CASES,
    OPPOSITE,
    Caveat,
    cases_of,
    too_few_to_rank,
)  # fmt: skip
from gvr_bench.report.folder import Run
from gvr_bench.report.layout import NO_REASON
from gvr_bench.report.metric_info import entry
from gvr_bench.report.tables import Cell, Table

PAIRS = (
    ("oracle_auroc", "auroc", "the oracle is worse than the model it judges"),
    ("reencoded_validity", "validity", "its changes may not be visible in the image"),
)
MAX_LOST = 0.2  # share of findings that the reconstruction has lost
MAX_DRIFT = 2.0  # a trained decoder adds little from the second round on
MAX_FALL = 0.1  # of a loss within the last tenth of its training
_NOISE = 2.0  # standard errors


def warnings(
    runs: Sequence[Run],
    models: Sequence[Table],
    boards: Sequence[Table],
    combinations: Sequence[Combination] = (),
    caveats: Sequence[Caveat] = (),
) -> list[str]:
    """What the numbers do not support, and what did not finish: one line each.

    `caveats` are those of the verdicts, which are not repeated.
    """
    stated = {(c.table, c.metric, c.names) for c in caveats}
    stages = [stage for run in runs for stage in run.environment.stages]
    failed = {stage.name for stage in stages if stage.status == "failed"}
    inapplicable = {stage.reason for stage in stages if stage.status == "n/a"}  # as tables say
    lines = [
        f"{stage.kind} {stage.name} {stage.status}: {stage.reason or NO_REASON}"
        for stage in stages
        if stage.status in ("failed", "skipped") and stage.reason not in inapplicable
    ]
    for tables in (models, boards):
        for table in tables:
            mine = {(metric, names) for title, metric, names in stated if title == table.title}
            notes = [*_low_values(table, mine), *_lower_than(table, mine), *_drift(table)]
            if table.kind == "scoreboard":
                few = [] if (CASES, ()) in mine else _few_cases(table)
                notes = [*_failures(table, failed), *few, *notes, *_lost_findings(table)]
            lines += [f"{table.title}: {note}" for note in notes] if len(tables) > 1 else notes
    return list(dict.fromkeys([*lines, *_still_falling(combinations)]))


def _failures(table: Table, failed_stages: set[str]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for row in table.rows:
        reasons = [cell.reason for cell in row.cells if cell.status == "failed"]
        if reasons and row.names[0] not in failed_stages:
            names.setdefault(reasons[0] or NO_REASON, []).append(row.names[0])
    for reason, of in names.items():
        yield f"Scores of {text.listed(of)} failed: {reason}"


Stated = Collection[tuple[str, tuple[str, ...]]]
"""Metrics and names of rows about which something is said elsewhere."""


def _low_values(table: Table, stated: Stated) -> Iterator[str]:
    """Scores below their limit; models that share a decoder share a line."""
    for metric, (limit, meaning) in LIMITS.items():
        names: dict[tuple[str, str], list[str]] = {}
        for row, cell, value in table.scored(metric):
            if value < limit and (metric, row.names) not in stated:
                opposite = metric == "auroc" and cell.high is not None and cell.high < CHANCE
                key = _span(cell), OPPOSITE if opposite else meaning
                names.setdefault(key, []).append(" ".join(row.names))
        for (span, means), of in names.items():
            title = text.sentence(entry(metric).title).rstrip(".")
            yield f"{title} of {text.listed(of)} is {span}, below {limit}: {means}."


def _lower_than(table: Table, stated: Stated) -> Iterator[str]:
    """Scores whose interval lies below that of another score of the same row."""
    for metric, other, meaning in PAIRS:
        others = {row.names: cell for row, cell, _ in table.scored(other)}
        for row, cell, _ in table.scored(metric):
            if (metric, row.names) in stated:
                continue
            bar = others.get(row.names, Cell())
            if cell.high is not None and bar.low is not None and cell.high < bar.low:
                title = text.sentence(entry(metric).title).rstrip(".")
                yield (
                    f"{title} of {' '.join(row.names)} is {_span(cell)}, below its "
                    f"{entry(other).title} of {_span(bar)}: {meaning}."
                )


def _drift(table: Table) -> Iterator[str]:
    errors = {row.names: value for row, _, value in table.scored("reconstruction_l1")}
    ratios: dict[str, list[str]] = {}
    for row, _, error in table.scored("composition_10"):
        if error > MAX_DRIFT * errors.get(row.names, math.inf):
            ratio = f"{error / errors[row.names]:.1f}"
            ratios.setdefault(ratio, []).append(" ".join(row.names))
    for ratio, names in ratios.items():
        yield (
            f"After ten encode/decode rounds the error of {text.listed(names)} is {ratio} times "
            "that of one round; the decoder may be under-trained."
        )


def _few_cases(table: Table) -> Iterator[str]:
    """Too few cases for precise shares, or for the smallest p value that ranks can reach."""
    n, rivals = cases_of(table)
    if too_few_to_rank(n, rivals):
        yield f"Only {n} cases: too few to rank {rivals} explainers by significance tests."
    elif 0 < n < MIN_CASES:
        points = f"{98 / math.sqrt(n):.0f}"
        yield f"Only {n} cases: proportions are uncertain by up to ±{points} percentage points."


def _lost_findings(table: Table) -> Iterator[str]:
    lost = [value for _, _, value in table.scored("oracle_base_rate")]
    if lost and min(lost) > MAX_LOST:
        yield (
            f"In {100 * min(lost):.0f} % of the cases the reconstruction alone already removes the "
            "finding for the oracle: rationales cannot show it."
        )


def _still_falling(combinations: Sequence[Combination]) -> Iterator[str]:
    for curve in (curve for combination in combinations for curve in combination.curves):
        fall = _fall(curve)
        if fall > MAX_FALL:
            yield (
                f"The {curve.loss.replace('_', ' ')} of the {curve.stage} fell by {100 * fall:.0f} "
                "% in the last tenth of its training; it may be under-trained."
            )


def _fall(curve: Curve) -> float:
    """By what share the last tenth of a loss lies below the tenth before; 0 where that is noise.

    Losses with negative values have no meaningful share.
    """
    tenth = len(curve.value) // 10
    if tenth < 2 or not np.isfinite(curve.value).all() or curve.value.min() < 0:
        return 0.0
    before, last = curve.value[-2 * tenth : -tenth], curve.value[-tenth:]
    fall = float(before.mean() - last.mean())
    error = math.sqrt((before.var(ddof=1) + last.var(ddof=1)) / tenth)
    return fall / float(before.mean()) if fall > _NOISE * error else 0.0


def _span(cell: Cell) -> str:
    """An interval, else the number itself."""
    return text.interval(cell, 2, " to ") or text.number(cell.value or 0.0, 2)
