"""The questions that a scoreboard answers: one group of metrics each, by its leading score."""

from __future__ import annotations

from dataclasses import dataclass

from gvr_bench.metrics import Group, Score, score
from gvr_bench.report.metric_info import group_of, in_order, is_cost, is_question
from gvr_bench.report.table_blocks import by_standing
from gvr_bench.report.tables import Column, Row, Table, beats, comparable, leading_column


@dataclass(frozen=True)
class Question:
    """What one group of metrics is about, with the rows that have its leading score, best first.

    `index` is the position of that score among the columns of the board.
    """

    board: Table
    group: Group
    index: int
    explainers: tuple[Row, ...]
    controls: tuple[Row, ...]

    @property
    def column(self) -> Column:
        return self.board.columns[self.index]

    @property
    def title(self) -> str:
        return self.group.title.lower()

    @property
    def winner(self) -> Row | None:
        """The best explainer; where controls have the score, the best that beats all of them."""
        if not self.controls:
            return self.explainers[0]
        return next((row for row in self.explainers if self.beaten_by(row)), None)

    def beaten_by(self, row: Row) -> bool:
        """Whether all controls are: by the paired test, and by the mean over the cases."""
        ahead = self.gap(row, self.controls[0]).value
        return bool(beats(self.board, row, self.index)) and ahead is not None and ahead > 0

    def gap(self, row: Row, other: Row) -> Score:
        """By how much a row is better than another: over their common cases, where they are known.

        Without them there is no interval.
        """
        mine, theirs = row.cells[self.index], other.cells[self.index]
        sign = -1 if self.column.better == "down" else 1
        if mine.cases is not None and theirs.cases is not None:
            paired = score(sign * (mine.cases.astype(float) - theirs.cases.astype(float)))
            if paired.value is not None:
                return paired
        assert mine.value is not None
        assert theirs.value is not None
        return Score(sign * (mine.value - theirs.value), None, None, 0)

    def level_with(self, row: Row) -> list[Row]:
        """The other explainers that `row` is not clearly better than."""
        return [r for r in self.explainers if r is not row and not self._separated(row, r)]

    def _separated(self, row: Row, other: Row) -> bool:
        """By the ranks of the paired test, else by the interval of the row."""
        mine, theirs = row.cells[self.index], other.cells[self.index]
        if mine.rank is not None and theirs.rank is not None:
            return mine.rank < theirs.rank
        sign = -1 if self.column.better == "down" else 1
        ends = [sign * end for end in (mine.low, mine.high, mine.value) if end is not None]
        return theirs.value is not None and min(ends) > sign * theirs.value


def questions(board: Table) -> list[Question]:
    """The questions on which an explainer has a score: the most meaningful first."""
    leading = leading_column(board.rows, board.columns)
    first = "" if leading is None else board.columns[leading].group
    groups = in_order({group_of(column.group).name for column in board.columns}, first)
    return [q for group in groups if is_question(group) for q in _scored(board, group)[:1]]


def leading_scores(board: Table) -> Table:
    """The leading score of each question; all scores where there is no question."""
    indices = [question.index for question in questions(board)]
    return board.with_columns(indices) if indices else board


def _scored(board: Table, group: Group) -> list[Question]:
    """A question for each score of a group that any explainer has."""
    scored, known = [], set(comparable(board.rows, board.columns))
    for index in by_standing(board):
        column = board.columns[index]
        if column.group != group.name or index not in known or is_cost(column.metric):
            continue
        rows = _best_first(board, index)
        explainers = tuple(row for row in rows if not row.control)
        if explainers:
            controls = tuple(row for row in rows if row.control)
            scored.append(Question(board, group, index, explainers, controls))
    return scored


def _best_first(board: Table, index: int) -> list[Row]:
    sign = 1 if board.columns[index].better == "down" else -1
    rows = [(row.cells[index].value, row) for row in board.rows]
    valued = [(sign * value, row) for value, row in rows if value is not None]
    return [row for _, row in sorted(valued, key=lambda pair: (pair[0], pair[1].names))]
