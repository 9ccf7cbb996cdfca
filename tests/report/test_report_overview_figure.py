from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import CONTROLS, missing, scored

from gvr_bench.report.data import load_report
from gvr_bench.report.figures.overview import Overview, overview
from gvr_bench.report.figures.svg import draw, on_page
from gvr_bench.results.records import Record

Make = Callable[..., Path]
Drawn = Callable[[list[Record]], tuple[Overview, list[Any]]]


@pytest.fixture
def drawn(make_run: Make) -> Drawn:
    """The overview of a run with these records, and the axes of its panels."""

    def draw_it(records: list[Record]) -> tuple[Overview, list[Any]]:
        chart = overview(load_report([make_run(records=records, n=1, size=8)]).boards[0])
        assert chart is not None
        assert isinstance(chart.data, Overview)
        return chart.data, draw(chart).axes

    return draw_it


def band(axes: Any) -> tuple[float, float]:
    (patch,) = axes.patches
    x = patch.get_extents().transformed(axes.transData.inverted()).intervalx
    return round(min(x), 6), round(max(x), 6)


def dots(axes: Any) -> dict[int, tuple[float, str]]:
    """Row -> value and fill of its dot."""
    return {
        int(line.get_ydata()[0]): (float(line.get_xdata()[0]), line.get_markerfacecolor())
        for line in axes.lines
        if line.get_marker() == "o"
    }


def test_dots_lie_on_their_scores(drawn: Drawn) -> None:
    data, (axes,) = drawn(scored("pixel_ap", gvr=0.9, lime=0.2, edge=0.3, random=0.1))
    assert data.names == ("gvr", "lime")
    (first, filled), (second, hollow) = dots(axes).values()
    assert (first, second) == (0.9, 0.2)
    assert filled != hollow  # lime does not beat the controls
    ends = [tuple(np.round(x, 6)) for line in axes.lines if len(x := line.get_xdata()) == 2]
    assert {(0.85, 0.95), (0.15, 0.25)} <= set(ends)


def test_band_is_the_range_of_controls(drawn: Drawn) -> None:
    _, (axes,) = drawn(scored("pixel_ap", gvr=0.9, lime=0.2, edge=0.3, random=0.1, intensity=0.2))
    assert band(axes) == (0.1, 0.3)


def test_single_control_has_a_line(drawn: Drawn) -> None:
    _, (axes,) = drawn(scored("pixel_ap", gvr=0.9, edge=0.3))
    assert band(axes) == (0.3, 0.3)
    assert [list(x) for line in axes.lines if (x := line.get_xdata())[0] == x[-1] == 0.3]


def test_no_controls_no_band(drawn: Drawn) -> None:
    data, (axes,) = drawn(scored("pixel_ap", gvr=0.9, lime=0.2))
    assert data.panels[0].controls is None
    assert not axes.patches


def test_better_is_always_right(drawn: Drawn) -> None:
    _, (truth, faithfulness) = drawn([
        *scored("pixel_ap", gvr=0.9, edge=0.3), *scored("deletion_auc", "down", gvr=0.1, edge=0.3)
    ])  # fmt: skip
    assert truth.get_xlim()[0] < truth.get_xlim()[1]
    assert faithfulness.get_xlim()[0] > faithfulness.get_xlim()[1]


def test_missing_scores_say_why(drawn: Drawn) -> None:
    lost = missing("failed", "out of memory", explainer="lime")
    records = [*scored("pixel_ap", gvr=0.9), lost, *scored("validity", gvr=0.9, lime=0.5)]
    _, (truth, validity) = drawn(records)
    assert [text.get_text() for text in truth.texts] == ["failed"]
    assert not validity.texts


def test_explainer_without_scores_has_no_row(drawn: Drawn) -> None:
    lost = missing("failed", "out of memory", explainer="lime")
    data, _ = drawn([*scored("pixel_ap", gvr=0.9, edge=0.1), lost])
    assert data.names == ("gvr",)


def test_controls_alone_have_no_overview(make_run: Make) -> None:
    records = scored("pixel_ap", **dict.fromkeys(CONTROLS, 0.5))
    (board,) = load_report([make_run(records=records, n=1, size=8)]).boards
    assert overview(board) is None


def test_overview_is_described_in_words(make_run: Make) -> None:
    records = [
        *scored("pixel_ap", gvr=0.9, lime=0.2, edge=0.3, random=0.1),
        *scored("validity", gvr=0.7),
        missing("n/a", "makes no counterfactual", explainer="lime", metric="validity"),
    ]
    (board,) = load_report([make_run(records=records, n=1, size=8)]).boards
    chart = overview(board)
    assert chart is not None
    assert chart.description == (
        "Ground truth, pixel AP ↑: gvr 0.90, lime 0.20, controls 0.10 to 0.30; "
        "Validity, validity ↑: gvr 0.70, lime n/a, no control"
    )
    drawing = on_page(chart, "overview-0")
    assert chart.wide
    assert ">n/a<" in drawing
    assert "var(--purple)" in drawing
    assert not re.search(r"#[0-9a-f]{6}", drawing)


def test_many_questions_fit_the_page(ranked: Path) -> None:
    chart = overview(load_report([ranked]).boards[0])
    assert chart is not None
    assert draw(chart).get_size_inches()[0] < 12
