"""What the numbers of a run do not support, and the gravest of it beside a verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gvr_bench.metrics.statistics import ALPHA
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.cases_file import Combination, Curve
from gvr_bench.report.metric_info import entry
from gvr_bench.report.questions import Question
from gvr_bench.report.run import Run
from gvr_bench.report.table_blocks import NO_REASON
from gvr_bench.report.tables import Cell, Row, Table, leading_column

MOST = 0.5  # of the counterfactuals
LIMITS = {
    # Hosmer, Lemeshow and Sturdivant 2013, section 5.2.4: from 0.7 on discrimination is acceptable,
    # from 0.8 on excellent. The oracle has to be better than what is good enough to be judged.
    "auroc": (0.7, "explanations of it mean little (chance is 0.5)"),
    "oracle_auroc": (0.8, "oracle scores mean little"),
    # Wang et al. 2004, figure 2: photographs that are blurred beyond use score 0.7.
    "reconstruction_ssim": (0.7, "rationales cannot show what the generator cannot draw"),
    "unseen_images": (1.0, "a network looks better on images that it was trained on"),
    # As many other decisions as a good model makes errors.
    "decoded_agreement": (0.9, "passing an image through the autoencoder alone changes decisions"),
    "validity": (MOST, "most of its counterfactuals do not change the decision"),
    "oracle_validity": (MOST, "most of its counterfactuals do not convince the oracle"),
}
MIN_CASES = 30  # a share of one half is uncertain by 18 percentage points
CHANCE = 0.5  # AUROC
OPPOSITE = "its outputs may be swapped, or stand for the absence of what they are named after"
MAX_AMPLITUDE = 1.5  # times the true change, or one over it

RANKS = "ranks"
"""What a caveat on too few cases to rank is about, in place of a metric."""

PAIRS = (
    ("oracle_auroc", "auroc", "the oracle is worse than the model it judges"),
    ("reencoded_validity", "validity", "its changes may not be visible in the image"),
)
MAX_LOST = 0.2  # share of findings that the reconstruction has lost
MAX_DRIFT = 2.0  # a trained decoder adds little from the second round on
MAX_FALL = 0.1  # of a loss within the last tenth of its training
_NOISE = 2.0  # standard errors


@dataclass(frozen=True)
class Caveat:
    """A sentence, and the score of the row of a table that it is about, where it is about one."""

    text: str
    table: str = ""
    metric: str = ""
    names: tuple[str, ...] = ()


def strongest(board: Table, models: Sequence[Table], lead: Question) -> Caveat | None:
    """The gravest caveat of what a board says on its first question; None where there is none."""
    leader = lead.winner or lead.explainers[0]
    rules = (
        _weak_model(board, models),
        _failed_controls(lead),
        (caveat for caveat in _few_cases(board) if caveat.metric == RANKS),
        _unconvincing(board, leader),
        _wrong_amplitude(board, leader),
    )
    return next((caveat for rule in rules for caveat in rule), None)


def _weak_model(board: Table, models: Sequence[Table]) -> Iterator[Caveat]:
    """The model predicts no better than chance, hardly better, or not as well as is needed."""
    for table in models:
        if table.dataset != board.dataset or table.model not in ("", board.model):
            continue
        for row, cell, value in table.scored("auroc"):
            if row.names[-1] != "all" or (not table.model and row.names[0] != board.model):
                continue
            if cell.high is not None and cell.high < CHANCE:
                line = f"The model predicts the opposite (AUROC {value:.2f}): {OPPOSITE}."
                yield Caveat(line, table.title, "auroc", row.names)
                continue
            at_chance = (value if cell.low is None else cell.low) <= CHANCE
            if at_chance or value < LIMITS["auroc"][0]:
                what = "at chance" if at_chance else "weak"
                line = (
                    f"The model is {what} (AUROC {value:.2f}), so explanations of it mean little."
                )
                yield Caveat(line, table.title, "auroc", row.names)
            elif cell.passed is False:
                line = (
                    f"The model misses findings (AUROC {value:.2f}, its data set needs more), so "
                    "maps of it cannot show them all."
                )
                yield Caveat(line, table.title, "auroc", row.names)


def _failed_controls(lead: Question) -> Iterator[Caveat]:
    failed = lead.column.failed_controls
    if failed and lead.controls:  # without any the verdict says so itself
        what = f"The control {failed[0]} is" if len(failed) == 1 else f"{len(failed)} controls are"
        yield Caveat(f"{what} missing because {'it' if len(failed) == 1 else 'they'} failed.")


def _few_cases(board: Table) -> Iterator[Caveat]:
    """Too few cases for the smallest p value that ranks can reach, or for precise shares.

    No signed-rank test can be significant by Holm's correction over all pairs.
    """
    leading = leading_column(board.rows, board.columns)
    if leading is None:
        return
    counts = [row.cells[leading].n for row in board.rows if row.cells[leading].value is not None]
    n, rivals, pairs = max(counts), len(counts), math.comb(len(counts), 2)
    if n < MIN_CASES and pairs > 0 and 2.0 ** (1 - n) * pairs >= ALPHA:
        line = f"Only {n} cases: too few to rank {rivals} explainers by significance tests."
        yield Caveat(line, board.title, RANKS)
    elif 0 < n < MIN_CASES:
        points = f"{98 / math.sqrt(n):.0f}"
        line = f"Only {n} cases: proportions are uncertain by up to ±{points} percentage points."
        yield Caveat(line, board.title)


def _unconvincing(board: Table, leader: Row) -> Iterator[Caveat]:
    """Its counterfactuals are not believed, or do not flip the model."""
    name = leader.names[0]
    for metric, sentence in (
        ("oracle_validity", "The independent network believes {:.0f} % of {}'s counterfactuals."),
        ("reencoded_validity", "Only {:.0f} % of {}'s counterfactual images flip the model."),
        ("validity", "Only {:.0f} % of {}'s counterfactuals flip the model."),
    ):
        for row, _, value in board.scored(metric):
            if row is leader and value < MOST:
                yield Caveat(sentence.format(100 * value, name), board.title, metric, row.names)


def _wrong_amplitude(board: Table, leader: Row) -> Iterator[Caveat]:
    for row, _, value in board.scored("true_change_total"):
        if row is leader and value >= MAX_AMPLITUDE:
            times = text.number(value, 1)
            yield Caveat(f"{row.names[0]} changes {times} times as much as the disease does.")
    for row, _, value in board.scored("true_change_amplitude"):
        if row is leader and value <= 1 / MAX_AMPLITUDE:
            yield Caveat(f"{row.names[0]} shows only {100 * value:.0f} % of the true change.")


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
                few = [
                    caveat.text for caveat in _few_cases(table) if (caveat.metric, ()) not in mine
                ]
                notes = [*_failures(table, failed), *few, *notes, *_lost_findings(table)]
            lines += [f"{table.title}: {note}" for note in notes] if len(tables) > 1 else notes
    return list(dict.fromkeys([*lines, *_still_falling(combinations)]))


def _failures(table: Table, failed_stages: set[str]) -> Iterator[str]:
    failed = [
        (cell.reason or NO_REASON, row.names[0])
        for row in table.rows
        for cell in [cell for cell in row.cells if cell.status == "failed"][:1]
        if row.names[0] not in failed_stages
    ]
    for reason, of in text.grouped(failed).items():
        yield f"Scores of {text.listed(of)} failed: {reason}"


Stated = Collection[tuple[str, tuple[str, ...]]]
"""Metrics and names of rows about which something is said elsewhere."""


def _low_values(table: Table, stated: Stated) -> Iterator[str]:
    """Scores below their limit; models that share a decoder share a line."""
    for metric, (limit, meaning) in LIMITS.items():
        low = []
        for row, cell, value in table.scored(metric):
            if value < limit and (metric, row.names) not in stated:
                opposite = metric == "auroc" and cell.high is not None and cell.high < CHANCE
                key = _span(cell), OPPOSITE if opposite else meaning
                low.append((key, " ".join(row.names)))
        for (span, means), of in text.grouped(low).items():
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
    ratios = [
        (f"{error / errors[row.names]:.1f}", " ".join(row.names))
        for row, _, error in table.scored("composition_10")
        if error > MAX_DRIFT * errors.get(row.names, math.inf)
    ]
    for ratio, names in text.grouped(ratios).items():
        yield (
            f"After ten encode/decode rounds the error of {text.listed(names)} is {ratio} times "
            "that of one round; the decoder may be under-trained."
        )


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
    return text.interval(cell, 2, " to ") or text.number(cell.value or 0.0, 2)
