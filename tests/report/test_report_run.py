from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from gvr_bench.cli.report import show_runs
from gvr_bench.core.errors import DataError, UsageError
from gvr_bench.report.html import write_html
from gvr_bench.report.run import load
from gvr_bench.report.table_formats import export
from gvr_bench.results.run_folder import check_run

Make = Callable[..., Path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no run at .*/nowhere; make one with"):
        check_run(tmp_path / "nowhere")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the folder of a run"):
        check_run(tmp_path)


def test_a_file_suggests_its_folder(run: Path) -> None:
    with pytest.raises(DataError, match=f"type: gvr-bench report {run}$"):
        check_run(run / "records.jsonl")


@pytest.mark.parametrize("name", ["records.jsonl", "spec.toml", "environment.json"])
def test_missing_files_are_named(make_run: Make, name: str) -> None:
    folder = make_run(n=1, size=8)
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        check_run(folder)
    message = str(caught.value)
    assert f"incomplete: {name} is missing" in message
    assert "gvr-bench run" in message
    assert "\n" not in message


def test_complete_runs_are_accepted(run: Path) -> None:
    assert check_run(run) == run


def test_truncated_records_name_the_line(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    path = folder / "records.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: len(text) - 40], encoding="utf-8")
    last = len(text.splitlines())
    with pytest.raises(DataError, match=f"records.jsonl, line {last}, is not a record"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"stages": [{}]}', '{"seconds": "soon"}'])
def test_damaged_environments_are_one_line(make_run: Make, text: str) -> None:
    folder = make_run(n=1, size=8)
    (folder / "environment.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="is not the environment of a run"):
        load(folder)


@pytest.mark.parametrize("keep", [0, 200, 2000])
def test_truncated_cases_are_one_line(make_run: Make, keep: int) -> None:
    folder = make_run(n=1, size=8)
    path = folder / "cases.h5"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cases\.h5.*write it again with"):
        write_html(folder)


def test_cases_without_labels_are_damaged(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/label"]
    with pytest.raises(DataError, match=r"not the cases of a run .*label"):
        write_html(folder)


def test_without_cases_tables_remain(make_run: Make) -> None:
    folder = make_run(n=1, size=8)
    (folder / "cases.h5").unlink()
    assert "0.884" in export([folder], "markdown")
    assert 'id="cases"' not in write_html(folder).read_text(encoding="utf-8")


def test_a_report_loads_no_torch() -> None:
    code = (
        "import sys, gvr_bench.report.html, gvr_bench.report.terminal;"
        "import gvr_bench.report.table_formats;"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


def test_the_package_imports_no_library() -> None:
    code = (
        "import sys, gvr_bench.report;"
        "print([n for n in ('h5py', 'numpy', 'PIL', 'rich', 'jinja2') if n in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


def test_a_page_cannot_replace_folders(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder; name a file in it: --out .*\.html"):
        show_runs([run, run], tmp_path, False)
