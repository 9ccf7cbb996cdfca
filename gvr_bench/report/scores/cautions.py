"""What a reader should be wary of: what the numbers do not support, and what did not finish."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from gvr_bench.metrics.statistics import ALPHA
from gvr_bench.report import formatting as text
from gvr_bench.report.cases.reading import Combination, Curve
from gvr_bench.report.folder import Run
from gvr_bench.report.metric_info import is_truth
from gvr_bench.report.scores.beliefs import beats
from gvr_bench.report.scores.tables import Cell, Row, Table, leading_column

CHANCE = 0.5
# Hosmer, Lemeshow and Sturdivant 2013, section 5.2.4: from 0.7 on discrimination is acceptable,
# from 0.8 on excellent. A judge has to be better than what is good enough to be judged.
POOR_MODEL, POOR_JUDGE = 0.7, 0.8
# Wang et al. 2004, figure 2: photographs that are blurred or compressed beyond use score 0.7.
POOR_SSIM = 0.7
# One decision in ten that the decoder alone has turned: as many as a good model gets wrong.
UNFAITHFUL = 0.9
# One finding in five that is gone before anything was asked: the rationale cannot show those.
MANY_LOST = 0.2
# Ten times through a decoder that has settled adds little to what one time costs.
DRIFT = 2.0
# Of 30 cases a share of one half is known to within 18 percentage points.
FEW = 30
# A loss that still falls by a tenth within a tenth of its training has not settled.
FALLING = 0.1
# Fewer than half: what is seldom what was asked for is no answer.
SELDOM = 0.5
_NOISE = 2.0  # standard errors


def cautions(
    run: Run,
    models: Sequence[Table],
    boards: Sequence[Table],
    combinations: Sequence[Combination] = (),
) -> list[str]:
    """What the numbers do not support, and what did not finish: one line each."""
    found = [
        f"{stage.kind} {stage.name} {stage.status}: {stage.reason or 'no reason given'}"
        for stage in run.environment.stages
        if stage.status in ("failed", "skipped")
    ]
    for tables, checks in (
        (models, (_near_chance, _weak_judge, _poor_decoder, _turned_by_decoder)),
        (
            boards,
            (partial(_failures, run), _few_cases, _lost, _seldom, _against_controls, _fooled),
        ),
    ):
        for table in tables:
            lines = [line for check in checks for line in check(table)]
            found += [f"{table.title}: {line}" for line in lines] if len(tables) > 1 else lines
    return [*found, *_still_learning(combinations)]


def _cells(table: Table, metric: str) -> Iterable[tuple[Row, Cell]]:
    """The cells of a score that have a number."""
    for index, column in enumerate(table.columns):
        if column.metric == metric:
            yield from (
                (row, row.cells[index]) for row in table.rows if row.cells[index].value is not None
            )


def _near_chance(table: Table) -> Iterable[str]:
    for row, cell in _cells(table, "auroc"):
        told = f"The AUROC of {' '.join(row.names)}, {_span(cell)},"
        if cell.low is not None and cell.high is not None and cell.low <= CHANCE <= cell.high:
            yield f"{told} includes chance ({CHANCE}): what is explained may be noise."
        elif cell.value is not None and cell.value < CHANCE:
            yield f"{told} is below chance ({CHANCE}): the model has it the wrong way round."
        elif cell.value is not None and cell.value < POOR_MODEL:
            yield f"{told} is poor (below {POOR_MODEL}): an explanation of it explains little."


def _weak_judge(table: Table) -> Iterable[str]:
    """An oracle that is poor, or clearly worse than the model that it judges."""
    judged = {row.names: cell for row, cell in _cells(table, "auroc")}
    for row, cell in _cells(table, "oracle_auroc"):
        told = f"The oracle's AUROC of {' '.join(row.names)}, {_span(cell)},"
        model = judged.get(row.names, Cell())
        if cell.value is not None and cell.value < POOR_JUDGE:
            yield f"{told} is weak (below {POOR_JUDGE}): what convinces it proves little."
        elif cell.high is not None and model.low is not None and cell.high < model.low:
            yield (
                f"{told} is below the model's own, {_span(model)}: it judges what knows more than "
                "it does."
            )


def _poor_decoder(table: Table) -> Iterable[str]:
    """What models with the same decoder share is told once, and of whom where others differ."""
    told: dict[str, list[str]] = {}
    for row, cell in _cells(table, "reconstruction_ssim"):
        if cell.value is not None and cell.value < POOR_SSIM:
            line = (
                f"Reconstructions are poor (SSIM {_span(cell)}, below {POOR_SSIM}): rationales "
                "cannot show what the generator cannot draw."
            )
            told.setdefault(line, []).append(row.names[0])
    once = dict(_values(table, "reconstruction_l1"))
    for names, drift in _values(table, "composition_10"):
        if drift > DRIFT * once.get(names, math.inf):
            line = (
                f"Encoded and decoded ten times, images end {drift / once[names]:.1f} times as "
                "far off as after one: the decoder may be under-trained."
            )
            told.setdefault(line, []).append(names[0])
    models = {row.names[0] for row in table.rows} if "model" in table.headings else set()
    for line, whose in told.items():
        yield f"{text.listed(whose)}: {line}" if models > set(whose) else line


def _turned_by_decoder(table: Table) -> Iterable[str]:
    """A classifier of images that decides otherwise on what the decoder makes of them."""
    areas = [dict(_values(table, metric)) for metric in ("raw_auroc", "auroc")]
    for names, agreement in _values(table, "decoded_agreement"):
        if agreement < UNFAITHFUL:
            raw, decoded = (area.get(names, math.nan) for area in areas)
            yield (
                f"Encoding and decoding alone turns {1 - agreement:.0%} of the decisions of "
                f"{' '.join(names)} (AUROC {raw:.2f} without, {decoded:.2f} with it): what is "
                "explained is what the classifier says of the decoder's pictures."
            )


def _values(table: Table, metric: str) -> Iterable[tuple[tuple[str, ...], float]]:
    for row, cell in _cells(table, metric):
        yield row.names, cell.value or 0.0


def _failures(run: Run, table: Table) -> Iterable[str]:
    """Explainers without some of their scores, unless the stages say already why."""
    said = {stage.name for stage in run.environment.stages if stage.status == "failed"}
    told: dict[str, list[str]] = {}
    for row in table.rows:
        reasons = [cell.reason for cell in row.cells if cell.status == "failed"]
        if reasons and row.names[0] not in said:
            told.setdefault(reasons[0], []).append(row.names[0])
    for reason, names in told.items():
        yield f"Scores of {text.listed(names)} failed: {reason or 'no reason given'}"


def _few_cases(table: Table) -> Iterable[str]:
    """Too few cases to say much, or for the test of the ranks to tell anybody apart at all."""
    leading = leading_column(table.rows, table.columns)
    if leading is None:
        return
    counts = [row.cells[leading].n for row in table.rows if row.cells[leading].value is not None]
    n, pairs = max(counts), math.comb(len(counts), 2)
    if n >= FEW:
        return
    told = f"Only {n} case{'' if n == 1 else 's'} per score:"
    # The smallest p value of a signed-rank test, by Holm's correction times the pairs.
    if pairs and 2.0 ** (1 - n) * pairs >= ALPHA:
        yield f"{told} too few for the ranks to tell any two of {len(counts)} explainers apart."
    else:
        yield f"{told} a share of them is known to within {98 / math.sqrt(n):.0f} points at best."


def _lost(table: Table) -> Iterable[str]:
    """Findings that the reconstruction has lost, before anything was asked."""
    shares = [cell.value for _, cell in _cells(table, "oracle_base_rate") if cell.value is not None]
    if shares and min(shares) > MANY_LOST:
        yield (
            f"The oracle no longer sees {min(shares):.0%} of the findings in the reconstruction "
            "itself: rationales cannot show those."
        )


def _seldom(table: Table) -> Iterable[str]:
    """Counterfactuals that mostly are none, to the model itself or to a judge."""
    for metric, does, so in (
        ("validity", "flips the model", "most of what it shows is no counterfactual"),
        ("oracle_validity", "convinces the oracle", "it seldom changes what a judge looks at"),
    ):
        for names, share in _values(table, metric):
            if share < SELDOM:
                yield f"{names[0]} {does} in only {share:.0%} of the cases: {so}."


def _against_controls(table: Table) -> Iterable[str]:
    """Explainers that ground truth does not tell from the controls on any score."""
    if not any(row.control for row in table.rows):
        yield "No control explainer was run, so there is nothing to beat."
        return
    truths = [i for i, c in enumerate(table.columns) if is_truth(c.metric) and c.better != "-"]
    weak = []
    for row in table.rows:
        held = [beats(table, row, index) for index in truths]
        if not row.control and False in held and True not in held:
            weak.append(row.names[0])
    if weak:
        verb = "does" if len(weak) == 1 else "do"
        yield (
            f"{text.listed(weak)} {verb} not clearly beat the controls on any score against "
            "ground truth."
        )


def _fooled(table: Table) -> Iterable[str]:
    """Explainers that flip the latent but not the image: their intervals do not even touch."""
    latents = {row.names: cell for row, cell in _cells(table, "validity")}
    for row, image in _cells(table, "reencoded_validity"):
        latent = latents.get(row.names, Cell())
        if latent.low is not None and image.high is not None and image.high < latent.low:
            yield (
                f"{row.names[0]} flips {latent.value:.0%} of latents but only "
                f"{image.value:.0%} of the decoded images. It may move the latent where the "
                "picture does not follow."
            )


def _still_learning(combinations: Sequence[Combination]) -> list[str]:
    """Losses that still fall when the training ends; what two models share is told once."""
    return list(
        dict.fromkeys(
            f"The {curve.loss.replace('_', ' ')} of the {curve.stage} still fell by {fall:.0%} "
            "within the last tenth of its training: it may be under-trained."
            for combination in combinations
            for curve in combination.curves
            if (fall := _fall(curve)) > FALLING
        )
    )


def _fall(curve: Curve) -> float:
    """By what share the last tenth of a loss lies below the tenth before; 0 where that is noise.

    What is negative anywhere is no distance, and its share means nothing.
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
