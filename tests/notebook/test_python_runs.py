"""A run made, opened and shown in Python."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import gvr_bench
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.notebook import Run
from gvr_bench.results.run_folder import read_run_folder

GVR = "gvr:steps=30,learning_rate=0.2"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run with its cache beside it; tests must not change it."""
    folder = tmp_path_factory.mktemp("python")
    choices = tiny.CHOICES | {"explainer": [GVR, "saliency"]}
    return gvr_bench.run(
        **choices, controls=False, metrics=["truth", "validity"], max_cases=4, device="cpu",
        out=folder / "run", cache=folder / "cache",
    )  # fmt: skip


def test_import_loads_nothing_slow() -> None:
    code = "import sys, gvr_bench; print({'torch', 'pandas', 'rich', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_run_writes_page_and_command(run: Run) -> None:
    assert (run.folder / "index.html").is_file()
    command = read_run_folder(run.folder).environment.command
    assert command == shlex.join(
        ["gvr-bench", "run", str(run.folder / "spec.toml"), "--out", str(run.folder)]
    )


def test_scores_are_data_frames(run: Run) -> None:
    board = run.scoreboard()
    assert set(board.index) == {"gvr", "saliency"}
    cases = run.per_case.set_index(["explainer", "case"])["pixel_ap"]
    assert len(cases) == 8
    assert cases.groupby("explainer").mean().to_dict() == pytest.approx(board["pixel_ap"].to_dict())
    assert set(run.records["explainer"].dropna()) == {"gvr", "saliency"}
    chosen = run.scoreboard(["validity", "pixel_ap"], ["saliency"])
    assert chosen.shape == (1, 2)
    assert chosen.loc["saliency"].isna().tolist() == [True, False]
    with pytest.raises(UsageError, match=r"no score .pixel_pa."):
        run.scoreboard(["pixel_pa"])


def test_a_case_is_shown_as_pictures(run: Run) -> None:
    (name, case), *others = run.cases.items()
    assert len(others) == 3
    shown = case._repr_html_()
    assert name in shown
    assert shown.count("<img ") == 4  # image, true change, two explainers
    assert "<th>gvr</th>" in shown


def test_opened_run_explains_new_images(run: Run) -> None:
    again = gvr_bench.open(run, cache=run.folder.parent / "cache")
    assert again.verdict == run.verdict
    rationale = again.model.explain(np.zeros((32, 32), np.uint8), explainer="saliency")
    assert rationale.attribution.shape == (32, 32)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="saliancy"):
        gvr_bench.run(explainer="saliancy", cache=tmp_path, out=tmp_path / "run")
    with pytest.raises(DataError, match="no run at"):
        gvr_bench.open(tmp_path / "nowhere")
