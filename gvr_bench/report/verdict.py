"""What a scoreboard shows in one paragraph: who leads, over which controls, and the main caveat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gvr_bench.metrics import Score
from gvr_bench.report import formatting as text
from gvr_bench.report.questions import Question, questions
from gvr_bench.report.tables import Row, Table
from gvr_bench.report.warnings import Caveat, strongest


@dataclass(frozen=True)
class Verdict:
    """What one scoreboard shows; `about` names it where there are several.

    `alert` says that the model is too weak to be explained.
    """

    about: str
    headline: str
    rest: str = ""
    caveat: Caveat | None = None
    alert: str = ""

    @property
    def text(self) -> str:
        return " ".join(filter(None, (self.alert, self.headline, self.rest)))


def verdicts(models: Sequence[Table], boards: Sequence[Table]) -> list[Verdict]:
    """One for each scoreboard, or one that says that there is none."""
    if not boards:
        return [Verdict("", "No explainer was scored.")]
    return [_verdict(board, models, board.title if len(boards) > 1 else "") for board in boards]


def _verdict(board: Table, models: Sequence[Table], about: str) -> Verdict:
    every = questions(board)
    if not every:
        return Verdict(about, _no_scores(board))
    lead, *others = every
    caveat = strongest(board, models, lead)
    alert = caveat.text if caveat and caveat.metric == "auroc" else ""
    rest = [*_rest(others), *_without_control(board, every)]
    if caveat and not alert:
        rest.append(caveat.text)
    return Verdict(about, _leading(lead), " ".join(rest), caveat, alert)


def _no_scores(board: Table) -> str:
    rivals = [row for row in board.rows if not row.control]
    if not rivals:
        return "Only controls ran: there is no explainer to judge."
    failed = all(any(cell.status == "failed" for cell in row.cells) for row in rivals)
    return "Every explainer failed." if failed else "No explainer has a score to compare."


def _leading(question: Question) -> str:
    """Who leads on the first question, by how much over the next and over the best control."""
    winner = question.winner
    if winner is None:
        return _lost(question)
    column, places = question.column, text.digits(question.board, question.index, 2)
    value = text.number(winner.cells[question.index].value or 0.0, places)
    scored = f"{column.title} {value}{' ' + column.unit if column.unit else ''}"
    place = question.explainers.index(winner)
    unsure, rest = question.explainers[:place], question.explainers[place + 1 :]
    name, level = winner.names[0], [row for row in question.level_with(winner) if row in rest]
    margins = [_better(question, winner, row, row.names[0], places) for row in rest[:1]]
    margins += [
        _better(question, winner, row, f"the control {row.names[0]}", places)
        for row in question.controls[:1]
    ]
    if not rest and not unsure:
        claim = f"{name}, the only explainer with a score, "
        claim += "beats the controls on" if question.controls else "has no rival on"
    elif level:
        partner = level[0].names[0] if len(level) == 1 else f"{len(level)} others"
        claim = f"{name} and {partner} share the lead on"
    else:
        claim = f"{name} leads on"
    whose = f" of {name}" if level else ""
    margin = f", {' and '.join(margins)}" if margins else ""
    return f"{claim} {question.title}: {scored}{whose}{margin}.{_unsure(question, unsure, places)}"


def _unsure(question: Question, rows: Sequence[Row], places: int) -> str:
    """Name explainers with a better mean that chance may explain, as with few seeds."""
    if not rows:
        return ""
    best, name = rows[0].cells[question.index].value or 0.0, rows[0].names[0]
    others = f" and {len(rows) - 1} others" if len(rows) > 1 else ""
    value = text.number(best, places)
    return f" {name} ({value}){others} may be better by chance: not clearly above the controls."


def _lost(question: Question) -> str:
    column, places = question.column, text.digits(question.board, question.index, 2)
    best, control = question.explainers[0], question.controls[0]
    mine, theirs = (
        text.number(row.cells[question.index].value or 0.0, places) for row in (best, control)
    )
    gap = question.gap(control, best)
    margin = f", {_margin(gap, places)} worse" if (gap.low or 0.0) > 0 else ""
    if (gap.value or 0.0) < 0:
        margin = ", which may be chance"
    return (
        f"No explainer beats the control {control.names[0]} on {question.title}: "
        f"{column.title} {theirs}; the best explainer, {best.names[0]}, has {mine}{margin}."
    )


def _better(question: Question, row: Row, other: Row, name: str, places: int) -> str:
    return f"{_margin(question.gap(row, other), places)} better than {name}"


def _margin(gap: Score, places: int) -> str:
    """`0.12 (0.10 to 0.13)`, with minus signs."""
    line = text.number(gap.value or 0.0, places)
    if gap.low is not None and gap.high is not None:
        line += f" ({text.number(gap.low, places)} to {text.number(gap.high, places)})"
    return line.replace("-", "−")


def _rest(others: Sequence[Question]) -> Iterator[str]:
    """Who leads on the other questions, and on which no explainer beats the controls."""
    results: list[tuple[tuple[str, str], str]] = []
    for question in others:
        compared = len(question.explainers) > 1 or bool(question.controls)
        if not compared or _lacks_its_control(question):
            continue
        winner = question.winner
        if winner is None:
            result = "lost", question.controls[0].names[0]
        elif len(question.explainers) == 1:
            result = "alone beats the controls on", winner.names[0]
        elif question.level_with(winner):
            result = "shared", ""
        else:
            result = "leads on", winner.names[0]
        results.append((result, question.title))
    titles = {key: text.both(of) for key, of in text.grouped(results).items()}
    for verb in ("leads on", "alone beats the controls on"):
        if each := [f"{name} {verb} {of}" for (kind, name), of in titles.items() if kind == verb]:
            yield f"{'; '.join(each)}."
    if ("shared", "") in titles:
        yield f"The lead is shared on {titles['shared', '']}."
    if lost := [f"{name} on {of}" for (kind, name), of in titles.items() if kind == "lost"]:
        yield f"No explainer beats the control{'s' * (len(lost) > 1)} {', '.join(lost)}."


def _lacks_its_control(question: Question) -> bool:
    """Whether controls ran, but none has this score."""
    return not question.controls and any(row.control for row in question.board.rows)


def _without_control(board: Table, of_board: Iterable[Question]) -> Iterator[str]:
    """On which questions nothing shows that any explainer is good."""
    if not any(row.control for row in board.rows):
        yield "No control ran, so no score shows that an explainer is good."
        return
    missing = text.grouped(
        ("Controls failed" if q.column.failed_controls else "No control of this kind ran", q.title)
        for q in of_board
        if _lacks_its_control(q)
    )
    for reason, titles in missing.items():
        yield f"{reason} for {text.both(titles)}."
