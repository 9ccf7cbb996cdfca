"""What the scores show, and what limits them: headlines, conclusions and warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gvr_bench.metrics.statistics import ALPHA, Better
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination, Curve
from gvr_bench.report.folder import Run
from gvr_bench.report.layout import NO_REASON, by_standing
from gvr_bench.report.metric_info import OTHER, entry, group_of, in_order, is_cost, is_truth
from gvr_bench.report.tables import Cell, Row, Table, beats, best_control, leading_column

LIMITS = {
    # Hosmer, Lemeshow and Sturdivant 2013, section 5.2.4: from 0.7 on discrimination is acceptable,
    # from 0.8 on excellent. The oracle has to be better than what is good enough to be judged.
    "auroc": (0.7, "explanations of it mean little (chance is 0.5)"),
    "oracle_auroc": (0.8, "oracle scores mean little"),
    # Wang et al. 2004, figure 2: photographs that are blurred beyond use score 0.7.
    "reconstruction_ssim": (0.7, "rationales cannot show what the generator cannot draw"),
    # As many other decisions as a good model makes errors.
    "decoded_agreement": (0.9, "passing an image through the autoencoder alone changes decisions"),
    "validity": (0.5, "most of its counterfactuals do not change the decision"),
    "oracle_validity": (0.5, "most of its counterfactuals do not convince the oracle"),
}
PAIRS = (
    ("oracle_auroc", "auroc", "the oracle is worse than the model it judges"),
    ("reencoded_validity", "validity", "its changes may not be visible in the image"),
)
MAX_LOST = 0.2  # share of findings that the reconstruction has lost
MAX_DRIFT = 2.0  # a trained decoder adds little from the second round on
MIN_CASES = 30  # a share of one half is uncertain by 18 percentage points
MAX_FALL = 0.1  # of a loss within the last tenth of its training
_NOISE = 2.0  # standard errors
_MAX_HEADLINES, _MAX_NAMES = 5, 6


@dataclass(frozen=True)
class Conclusion:
    """What the scores say on one question; `about` is the scoreboard, where there are several."""

    about: str
    question: str
    answer: str


@dataclass(frozen=True)
class Headline:
    """One number with what it is about; `better` is that of its column."""

    title: str
    value: str
    interval: str
    about: str
    better: Better


def headlines(models: Sequence[Table], boards: Sequence[Table]) -> list[Headline]:
    """The model's first score, then the best explainers: two ground-truth scores come first."""
    best_scores = []
    for table in models[:1]:
        if table.columns and table.rows[0].cells[0].value is not None:
            about = table.rows[0].names[0] if "model" in table.headings else "the model"
            best_scores.append(_headline(table, 0, table.rows[0].cells[0], about))
    for table in boards[:1]:
        for index in _headline_columns(table):
            rows = [row for row in table.rows if row.cells[index].value is not None]
            leaders = [row for row in rows if row.cells[index].best] or rows[: len(rows) == 1]
            if leaders:
                names = text.listed([row.names[0] for row in leaders], 2)
                names += f", {table.model}" if len(boards) > 1 else ""
                best_scores.append(_headline(table, index, leaders[0].cells[index], names))
    return best_scores[:_MAX_HEADLINES]


def _headline_columns(table: Table) -> list[int]:
    """Positions of quality scores: two of ground truth, one of each other group, then the rest."""
    order = [i for i in by_standing(table) if not is_cost(table.columns[i].metric)]
    first: list[int] = []
    for index in order:
        group = table.columns[index].group
        if sum(table.columns[i].group == group for i in first) < (2 if group == "truth" else 1):
            first.append(index)
    return first + [index for index in order if index not in first]


def _headline(table: Table, index: int, cell: Cell, about: str) -> Headline:
    column, places = table.columns[index], text.digits(table, index)
    value = text.number(cell.value or 0.0, places) + (f" {column.unit}" if column.unit else "")
    return Headline(column.title, value, text.interval(cell, places, " to "), about, column.better)


def conclusions(boards: Sequence[Table]) -> list[Conclusion]:
    """Per group of metrics of each scoreboard: who is better than the controls, and who is best."""
    answers = []
    for board in boards:
        about = board.title if len(boards) > 1 else ""
        if not any(row.control for row in board.rows):
            continue
        without_baseline = []
        for group in in_order({group_of(column.group).name for column in board.columns}):
            columns = [
                i
                for i, column in enumerate(board.columns)
                if group_of(column.group) == group != OTHER
                and column.better != "-"
                and not is_cost(column.metric)
                and board.scored(column.metric)
            ]
            rivals = [row for row in board.rows if not row.control]
            compared = [i for i in columns if any(beats(board, r, i) is not None for r in rivals)]
            if compared:
                answers.append(Conclusion(about, group.title, _answer(board, rivals, compared)))
            elif columns:
                without_baseline.append(group.title)
        if without_baseline:
            answer = (
                "Controls have no scores here, so there is no baseline: ranks are relative and do "
                "not show that any explainer is good."
            )
            answers.append(Conclusion(about, ", ".join(without_baseline), answer))
    return answers


def _answer(board: Table, rivals: Sequence[Row], columns: Sequence[int]) -> str:
    informative = [i for i in columns if any(beats(board, row, i) for row in rivals)]
    empty = [_with_best_control(board, i) for i in columns if i not in informative]
    lacking = dict.fromkeys(name for i in columns for name in board.columns[i].failed_controls)
    failed = f"Without {text.listed(list(lacking))}, which failed." if lacking else ""
    if not informative:
        line = f"No explainer is better than all controls on {', '.join(empty)}."
        return " ".join(filter(None, (line, failed)))
    n = len(informative)
    compared = [r for r in rivals if any(beats(board, r, i) is not None for i in columns)]
    wins: dict[int, list[str]] = {}
    for row in compared:
        wins.setdefault(sum(bool(beats(board, row, i)) for i in informative), []).append(
            row.names[0]
        )
    places = {row.names[0]: sum(row.cells[i].best for i in informative) for row in rivals}
    most = max(places.values())
    best = [name for name, count in places.items() if count == most > 0]

    def counted(names: Sequence[str], count: int) -> str:
        return text.listed(names, _MAX_NAMES) + (f" ({count} of {n} scores)" if n > 1 else "")

    where = f" on {board.columns[informative[0]].title}" if n == 1 else ""
    better = "; ".join(counted(wins[count], count) for count in sorted(wins, reverse=True) if count)
    parts = [
        f"Better than all controls{where}: {better}.",
        f"Not better: {text.listed(wins[0], _MAX_NAMES)}." if 0 in wins else "",
        f"Best: {counted(best, most)}." if best else "",
        f"Uninformative, since no explainer beats all controls: {', '.join(empty)}."
        if empty else "",
        failed,
    ]  # fmt: skip
    return " ".join(filter(None, parts))


def _with_best_control(board: Table, index: int) -> str:
    """`pixel AP (best control: edge)`."""
    best = best_control(board, index)
    title = board.columns[index].title
    return f"{title} (best control: {best.names[0]})" if best else title


def warnings(
    runs: Sequence[Run],
    models: Sequence[Table],
    boards: Sequence[Table],
    combinations: Sequence[Combination] = (),
) -> list[str]:
    """What the numbers do not support, and what did not finish: one line each."""
    stages = [stage for run in runs for stage in run.environment.stages]
    failed = {stage.name for stage in stages if stage.status == "failed"}
    lines = [
        f"{stage.kind} {stage.name} {stage.status}: {stage.reason or NO_REASON}"
        for stage in stages
        if stage.status in ("failed", "skipped")
    ]
    for tables in (models, boards):
        for table in tables:
            notes = [*_low_values(table), *_lower_than(table), *_drift(table)]
            if table.kind == "scoreboard":
                notes = [*_failures(table, failed), *_few_cases(table), *notes, *_controls(table)]
            lines += [f"{table.title}: {note}" for note in notes] if len(tables) > 1 else notes
    return [*lines, *dict.fromkeys(_still_falling(combinations))]


def _failures(table: Table, failed_stages: set[str]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for row in table.rows:
        reasons = [cell.reason for cell in row.cells if cell.status == "failed"]
        if reasons and row.names[0] not in failed_stages:
            names.setdefault(reasons[0] or NO_REASON, []).append(row.names[0])
    for reason, of in names.items():
        yield f"Scores of {text.listed(of)} failed: {reason}"


def _low_values(table: Table) -> Iterator[str]:
    """Scores below their limit; models that share a decoder share a line."""
    for metric, (limit, meaning) in LIMITS.items():
        names: dict[str, list[str]] = {}
        for row, cell, value in table.scored(metric):
            if value < limit:
                names.setdefault(_span(cell), []).append(" ".join(row.names))
        for span, of in names.items():
            title = text.sentence(entry(metric).title).rstrip(".")
            yield f"{title} of {text.listed(of)} is {span}, below {limit}: {meaning}."


def _lower_than(table: Table) -> Iterator[str]:
    """Scores whose interval lies below that of another score of the same row."""
    for metric, other, meaning in PAIRS:
        others = {row.names: cell for row, cell, _ in table.scored(other)}
        for row, cell, _ in table.scored(metric):
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
    leading = leading_column(table.rows, table.columns)
    if leading is None:
        return
    counts = [row.cells[leading].n for row in table.rows if row.cells[leading].value is not None]
    n, pairs = max(counts), math.comb(len(counts), 2)
    # The smallest p value of a signed-rank test, by Holm's correction times the pairs.
    if n < MIN_CASES and pairs and 2.0 ** (1 - n) * pairs >= ALPHA:
        yield f"Only {n} cases: too few to rank {len(counts)} explainers by significance tests."
    elif n < MIN_CASES:
        points = f"{98 / math.sqrt(n):.0f}"
        yield f"Only {n} cases: proportions are uncertain by up to ±{points} percentage points."


def _controls(table: Table) -> Iterator[str]:
    lost = [value for _, _, value in table.scored("oracle_base_rate")]
    if lost and min(lost) > MAX_LOST:
        yield (
            f"In {100 * min(lost):.0f} % of the cases the reconstruction alone already removes the "
            "finding for the oracle: rationales cannot show it."
        )
    if not any(row.control for row in table.rows):
        yield "No control explainers were run: the scores have no baseline."
        return
    truths = [i for i, c in enumerate(table.columns) if is_truth(c.metric) and c.better != "-"]
    weak = []
    for row in table.rows:
        outcomes = [beats(table, row, index) for index in truths]
        if not row.control and False in outcomes and True not in outcomes:
            weak.append(row.names[0])
    if weak:
        yield f"Not better than the controls on any ground-truth score: {', '.join(weak)}."


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
