"""Figures for articles: mean ranks, what becomes of cases, maps of chosen cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import MODEL, add_trajectories

from gvr_bench.report.cases.cases_file import Combination, read_cases
from gvr_bench.report.figures.case_grid import case_grid
from gvr_bench.report.figures.critical_difference import Ranks, critical_difference
from gvr_bench.report.figures.funnel import STAGES, funnel
from gvr_bench.report.figures.svg import FORMATS, draw, to_bytes
from gvr_bench.report.tables import Cell, Column, Row, Table
from gvr_bench.results.case_scores import RunValues, Whose

Make = Callable[..., Path]


def board(**values: list[float]) -> Table:
    rows = tuple(
        Row((name,), (Cell(float(np.mean(v)), cases=np.array(v)),), "attribution")
        for name, v in values.items()
    )
    columns = (Column("pixel_ap", "up", "", "truth"),)
    return Table("scoreboard", "board", "phantom", "m", ("explainer",), columns, rows)


def only(folder: Path) -> Combination:
    (combination,) = read_cases(folder)
    return combination


def test_mean_ranks_are_those_of_demsar() -> None:
    scores = {"a": [0.9, 0.8, 0.7, 0.9], "b": [0.5, 0.9, 0.6, 0.5], "c": [0.1, 0.2, 0.3, 0.1]}
    chart = critical_difference(board(**scores))
    assert chart is not None
    ranks = chart.data
    assert isinstance(ranks, Ranks)
    assert ranks.names == ("a", "b", "c")
    assert ranks.means == (1.25, 1.75, 3.0)
    # Demsar 2006, table 5: q at 5 % for three is 2.343.
    assert ranks.difference == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 4)), abs=1e-2)


def test_cliques_join_what_is_not_apart() -> None:
    ranks = Ranks(("a", "b", "c", "d"), (False,) * 4, (1.0, 1.8, 2.7, 4.0), 1.0)
    assert ranks.cliques == [(0, 1), (1, 2)]


@pytest.mark.parametrize("scores", [{"a": [0.5, 0.6]}, {"a": [0.5], "b": [0.6]}])
def test_too_little_has_no_ranks(scores: dict[str, list[float]]) -> None:
    assert critical_difference(board(**scores)) is None


def test_funnel_counts_every_case_once(make_run: Make) -> None:
    folder = add_trajectories(make_run(n=5, size=8))
    with h5py.File(folder / "cases.h5", "a") as file:
        file["0/predicts_source"] = np.array([False, True, True, True, True])
        file["0/explainers/gvr/success"][:] = [False, False, True, True, True]
    whose = Whose(*MODEL, 0, "gvr")
    values = RunValues({
        (whose, "reencoded_validity"): np.array([np.nan, np.nan, 0, 1, 1], np.float32),
        (whose, "oracle_validity"): np.array([np.nan, np.nan, 0, 0, 1], np.float32),
    })  # fmt: skip
    chart = funnel(only(folder), values)
    assert chart is not None
    assert chart.data.counts == ((1, 1, 1, 1, 1),)
    assert len(STAGES) == 5
    unknown = funnel(only(folder), RunValues())
    assert unknown is not None
    assert unknown.data.counts == ((1, 1, 3, 0, 0),)


def test_grid_shows_the_chosen(make_run: Make) -> None:
    c = only(make_run(n=4, size=8))
    chart = case_grid(c, ["test-0003"], ["saliency"])
    assert chart is not None
    assert chart.data.rows == ("test-0003",)
    assert chart.data.columns == ("image", "true change", "saliency")
    first = case_grid(c)
    assert first is not None
    assert first.data.rows == ("test-0000", "test-0001", "test-0002")


@pytest.mark.parametrize("file_format", FORMATS)
def test_figures_are_files_with_a_title(make_run: Make, file_format: str) -> None:
    chart = case_grid(only(make_run(n=1, size=8)))
    assert chart is not None
    figure = draw(chart, titled=True)
    assert "1 of 1 cases" in figure.get_suptitle()
    assert len(to_bytes(figure, file_format)) > 1000
