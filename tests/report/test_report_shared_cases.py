"""Runs of the same data set with more or fewer cases share the first ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_run import MODEL, SOME, Board, whole_scoreboard, write_whole_run

from gvr_bench.metrics import METRICS
from gvr_bench.report.data import load_report
from gvr_bench.results.case_scores import RunValues, Whose

LONG, SHORT = 60, 40


def first(board: Board, n: int) -> Board:
    """The board of the first `n` cases: the same values, fewer of them."""
    _, values, _ = whole_scoreboard(n=n, limit=n, metrics=SOME)
    columns = {key: column[:n] for key, column in board[1].values.items()}
    records, _, protocols = whole_scoreboard(n=n, limit=n, metrics=SOME)
    return records, RunValues(columns, values.recipes), protocols


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    board = whole_scoreboard(n=LONG, limit=LONG, metrics=SOME)
    short = write_whole_run(tmp_path / "short", first(board, SHORT))
    return write_whole_run(tmp_path / "long", board), short


def test_nested_runs_share_a_table(folders: tuple[Path, Path]) -> None:
    (table,) = load_report(folders).boards
    assert table.apart == ()
    cells = [cell for row in table.rows for cell in row.cells if cell.value is not None]
    assert {cell.n for cell in cells} <= {SHORT, 100}  # 100: recorded by the made-up run


def test_equal_results_become_one_row(folders: tuple[Path, Path]) -> None:
    (table,) = load_report(folders).boards
    assert [row.names[0] for row in table.rows].count("gvr") == 1


def test_other_results_are_cut(folders: tuple[Path, Path], tmp_path: Path) -> None:
    board = whole_scoreboard(seed=0, n=LONG, limit=LONG, metrics=SOME)
    key = Whose(*MODEL, 0, "gvr"), "pixel_ap"
    changed = {k: np.roll(v, 7) if k[0] == key[0] else v for k, v in board[1].values.items()}
    recipes = {whose: f"other {recipe}" for whose, recipe in board[1].recipes.items()}
    other = write_whole_run(tmp_path / "other", (board[0], RunValues(changed, recipes), board[2]))
    (table,) = load_report([other, folders[1]]).boards
    rows = {row.names[0]: row for row in table.rows}
    (column,) = [i for i, c in enumerate(table.columns) if c.metric == "pixel_ap"]
    cell = rows["gvr [other]"].cells[column]
    assert cell.n == SHORT
    assert cell.value == pytest.approx(float(changed[key][:SHORT].mean()), abs=1e-6)


def test_single_run_keeps_all_cases(folders: tuple[Path, Path]) -> None:
    data = load_report([folders[0]])
    values = data.run.values.values
    assert {len(column) for column in values.values()} == {LONG}


def test_scores_over_all_cases_do_not_apply(folders: tuple[Path, Path]) -> None:
    metric = next(metric for metric in METRICS if metric.over == "comparison")
    for folder, n in zip(folders, (LONG, SHORT), strict=True):
        write_whole_run(folder, whole_scoreboard(n=n, limit=n, metrics=[*SOME, metric]))
    (table,) = load_report(folders).boards
    assert not table.scored(metric.name)
    assert table.scored("pixel_ap")
    assert table.scored("seconds_per_image")
