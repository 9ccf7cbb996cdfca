from __future__ import annotations

from pathlib import Path

import pytest
from made_up_run import missing, record, write_run

import gvr_bench
from gvr_bench.core.errors import DataError


def test_runs_share_one_data_frame(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, [record(metric="pixel_ap", value=0.25)])
    write_run(second, [record(metric="pixel_ap", value=0.75), missing("failed", "no memory")])
    scores = gvr_bench.read_results(first, str(second))
    assert scores["run"].tolist() == ["first", "second", "second"]
    assert scores.groupby("run")["value"].mean().tolist() == [0.25, 0.75]
    assert scores.loc[2, ["status", "reason"]].tolist() == ["failed", "no memory"]
    assert {"role", "protocol", "low", "high", "n"} <= set(scores.columns)


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / parent / "run", [record()]) for parent in ("a", "b")]
    assert gvr_bench.read_results(*paths)["run"].tolist() == [str(path) for path in paths]


def test_no_runs_are_an_empty_frame() -> None:
    assert gvr_bench.read_results().empty


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path.name}.*gvr-bench run"):
        gvr_bench.read_results(tmp_path)
