"""What limits a verdict most: the first rule that applies, the gravest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gvr_bench.metrics.statistics import ALPHA
from gvr_bench.report import formatting as text
from gvr_bench.report.questions import Question
from gvr_bench.report.tables import Row, Table, leading_column

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

CASES = "cases"
"""What a caveat on the number of cases is about, in place of a metric."""


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
        _few_cases(board),
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
    n, rivals = cases_of(board)
    if too_few_to_rank(n, rivals):
        line = f"Only {n} cases: too few to rank {rivals} explainers by significance tests."
        yield Caveat(line, board.title, CASES)


def cases_of(board: Table) -> tuple[int, int]:
    """The number of cases of the leading score, and of the rows that have it."""
    leading = leading_column(board.rows, board.columns)
    if leading is None:
        return 0, 0
    counts = [row.cells[leading].n for row in board.rows if row.cells[leading].value is not None]
    return max(counts), len(counts)


def too_few_to_rank(n: int, rivals: int) -> bool:
    """Whether no signed-rank test can be significant, by Holm's correction over all pairs."""
    pairs = math.comb(rivals, 2)
    return n < MIN_CASES and pairs > 0 and 2.0 ** (1 - n) * pairs >= ALPHA


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
