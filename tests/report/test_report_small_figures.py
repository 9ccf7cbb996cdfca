"""Small panels for articles: what they count, and that they become files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import record

from gvr_bench.metrics.cascade import DEPTHS
from gvr_bench.report.cases.cases_file import read_cases
from gvr_bench.report.figures import Chart
from gvr_bench.report.figures.cascade import cascade
from gvr_bench.report.figures.deletion_and_insertion import curves
from gvr_bench.report.figures.overview import Dot
from gvr_bench.report.figures.random_weights import random_weights
from gvr_bench.report.figures.scores_by_output import outputs
from gvr_bench.report.figures.size_of_the_finding import sizes
from gvr_bench.report.figures.svg import draw, to_bytes
from gvr_bench.report.tables import Cell, Column, Row, Table

Make = Callable[..., Path]
MODEL = "wgan_gp · conv · linear"


def board(*metrics: str, **cells: tuple[Cell, ...]) -> Table:
    rows = tuple(Row((name,), of, "attribution") for name, of in cells.items())
    columns = tuple(Column(metric, "up", "", "truth") for metric in metrics)
    return Table("scoreboard", "board", "phantom", MODEL, ("explainer",), columns, rows)


def drawn(chart: Chart | None) -> Chart:
    assert chart is not None
    assert len(to_bytes(draw(chart, titled=True), "png")) > 1000
    return chart


def test_curves_are_means_of_predicted_cases(make_run: Make) -> None:
    folder = make_run(n=4, size=8)
    falling = np.tile(np.linspace(1, 0, 3, dtype=np.float32), (4, 1))
    falling[0] = 0.5
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, True, True, True])
        part = file["0/explainers/saliency"]
        part["deletion"], part["insertion"] = falling, falling[:, ::-1]
    (c,) = read_cases(folder)
    chart = drawn(curves(c))
    assert "3 cases" in chart.caption
    ((down, up),) = chart.data.lines
    assert down.y.tolist() == [1, 0.5, 0]
    assert up.y.tolist() == [0, 0.5, 1]
    assert curves(replace(c, explainers=())) is None


def test_sizes_are_shares_of_the_image(make_run: Make) -> None:
    (c,) = read_cases(make_run(n=6, size=8))
    masks = np.zeros((6, 10, 10), bool)
    for i in range(6):
        masks[i, : i + 1] = True
    c = replace(c, mask=masks)
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    table = board("pixel_ap", a=(Cell(0.35, cases=scores),), b=(Cell(0.5, cases=scores[:3]),))
    chart = drawn(sizes(table, [c]))
    assert chart.data.titles == ("a  ρ 1.00",)
    ((line,),) = chart.data.lines
    assert line.x.tolist() == [15, 35, 55]
    assert line.y == pytest.approx([0.15, 0.35, 0.55])
    assert sizes(table, [replace(c, mask=None)]) is None


def test_outputs_are_rows_of_numbers() -> None:
    table = board("pixel_ap", a=(Cell(0.3),), b=(Cell(0.2),))
    records = [
        record(metric="pixel_ap", explainer=name, output=output, value=value, low=None, high=None)
        for name, output, value in (("a", "all", 0.3), ("a", "mass", 0.4), ("b", "fluid", 0.1))
    ]
    chart = drawn(outputs(table, records))
    assert chart.data.columns == ("mass", "fluid")
    assert chart.data.means[0, 0] == 0.4
    assert np.isnan(chart.data.means[0, 1])
    assert outputs(table, records[:2]) is None


def test_random_weights_fill_what_passes() -> None:
    metrics = "randomised_head", "other_image_similarity"
    cells = Cell(0.2, 0.1, 0.3, 9, passed=True), Cell(0.4, n=9)
    chart = drawn(random_weights(board(*metrics, a=cells)))
    head, other = chart.data.panels
    assert head.dots == (Dot(0.2, (0.1, 0.3), clear=True),)
    assert other.dots == (Dot(0.4, None, clear=False),)
    assert random_weights(board("pixel_ap", a=(Cell(0.1),))) is None


def test_cascade_begins_at_the_map_itself() -> None:
    depths = (0.8, 0.6, 0.4, 0.2)
    fast = tuple(Cell(y, cases=np.array([y - 0.2, y + 0.2, np.nan])) for y in depths)
    slow = tuple(Cell(1.0, cases=np.array([1.0, 1.0, np.nan])) for _ in depths)
    table = board(*DEPTHS, slow=slow, fast=fast, absent=tuple(Cell() for _ in depths))
    chart = drawn(cascade(table))
    assert chart.data.titles == ("fast", "slow")
    ((line,), (flat,)) = chart.data.lines
    assert line.x.tolist() == [0, 25, 50, 75, 100]
    assert line.y == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert line.band[0] == pytest.approx([1, 0.7, 0.5, 0.3, 0.1])
    assert flat.y.tolist() == [1] * 5
    assert "2 cases" in chart.caption
    assert cascade(board("pixel_ap", a=(Cell(0.1),))) is None
