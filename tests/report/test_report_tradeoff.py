from __future__ import annotations

import itertools
import random

import pytest
from made_up_run import EXPLAINERS

from gvr_bench.report.charts.tradeoff import HEIGHT, WIDTH, Label, Scatter, labels_of, tradeoffs
from gvr_bench.report.scores.tables import Cell, Column, Row, Table

LETTER, LINE = 7.0, 14.0


def board(*scores: tuple[str, float | None, float | None]) -> Table:
    """A scoreboard of (explainer, pixel AP, seconds)."""
    columns = (Column("pixel_ap", "up", "", "truth"), Column("seconds_per_image", "down", "s"))
    rows = tuple(
        Row((name,), name == "random", tuple(Cell(value, status="ok") for value in values))
        for name, *values in scores
    )
    return Table("scoreboard", "", "phantom", "", ("explainer",), columns, rows)


def drawn(table: Table) -> Scatter:
    (found,) = tradeoffs(table)
    return found


def box(label: Label, name: str) -> tuple[float, float, float, float]:
    width = LETTER * len(name)
    left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
    return left, label.y - LINE + 3, left + width, label.y + 3


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize(
    "scores",
    [
        [("gvr", 0.9, 0.1)],
        [("gvr", 0.9, 0.1), ("lime", None, 0.2)],
        [("gvr", 0.9, 0.1), ("lime", 0.5, 0.0)],  # 0 has no place on a logarithmic axis
        [("gvr", 0.9, float("inf")), ("lime", 0.5, 0.2)],
    ],
)
def test_fewer_than_two_that_can_be_drawn_are_not(
    scores: list[tuple[str, float | None, float | None]],
) -> None:
    assert tradeoffs(board(*scores)) == []


def test_a_board_without_any_score_of_quality_has_no_chart() -> None:
    table = board(("gvr", None, 0.1), ("lime", None, 0.2))
    assert tradeoffs(table) == []


def test_better_is_higher_and_dearer_is_further_right() -> None:
    gvr, lime, noise = drawn(
        board(("gvr", 0.9, 2.0), ("lime", 0.4, 0.2), ("random", 0.1, 0.02))
    ).points
    assert gvr.y < lime.y < noise.y
    assert lime.x - noise.x == pytest.approx(gvr.x - lime.x, abs=0.2)  # ten times each
    assert (gvr.control, noise.control) == (False, True)


def test_equal_scores_still_have_an_axis() -> None:
    chart = drawn(board(("gvr", 0.5, 0.1), ("lime", 0.5, 0.1)))
    assert len(chart.frame.x_ticks) >= 2
    assert len(chart.frame.y_ticks) >= 2


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_neither_each_other_nor_a_dot(seed: int) -> None:
    rng = random.Random(seed)
    dots = [(rng.uniform(150, 320), rng.uniform(60, 240)) for _ in EXPLAINERS]
    names = list(EXPLAINERS)
    labels = labels_of(dots, names)
    boxes = [box(label, name) for label, name in zip(labels, names, strict=True)]
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    for left, top, right, bottom in boxes:
        assert (left >= 0, top >= 0, right <= WIDTH, bottom <= HEIGHT) == (True,) * 4
        assert not any(left < x < right and top < y < bottom for x, y in dots)


def test_oracle_validity_is_drawn_against_the_change_it_took() -> None:
    columns = (
        Column("oracle_validity", "up", "", "oracle"),
        Column("rationale_l1", "down", "", "proximity"),
    )
    rows = tuple(
        Row(
            (name,), False, (Cell(a, a - 0.1, a + 0.1, 94, status="ok"), Cell(b, n=90, status="ok"))
        )
        for name, a, b in (("gvr", 0.9, 0.1), ("latent-shift", 0.6, 0.3))
    )
    (chart,) = tradeoffs(Table("scoreboard", "", "d", "", ("explainer",), columns, rows))
    assert chart.frame.y_title == "oracle validity ↑"
    assert chart.frame.x_title == "rationale L1 ↓"
    assert chart.caption == "2 explainers, n = 90 to 94 images"
    assert [point.across for point in chart.points] == [None, None]
    up = chart.points[0].up
    assert up is not None
    assert up[1] < chart.points[0].y < up[0]


def test_a_name_too_long_for_a_chart_is_cut_and_told_whole_in_words() -> None:
    name = "counterfactual" * 20
    chart = drawn(board((name, 0.9, 0.1), ("lime", 0.5, 0.2)))
    assert chart.points[0].name == f"{name[:27]}…"
    assert name in chart.description
