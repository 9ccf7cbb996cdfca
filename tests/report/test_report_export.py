from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_run import add_trajectories
from PIL import Image
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.report import export as module
from gvr_bench.report.export import Selection, export

Make = Callable[..., Path]
RATIONALES = ("rationales",)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def typed(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["export", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def renamed(folder: Path, ids: list[str], explainers: dict[str, str] | None = None) -> Path:
    """Give the cases of a run other ids, and its explainers other names."""
    with h5py.File(folder / "cases.h5", "a") as file:
        del file["0/sample_id"]
        file["0/sample_id"] = ids
        for old, new in (explainers or {}).items():
            file.move(f"0/explainers/{old}", f"0/explainers/{new}")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--case", "test-002"),
            "there is no case 'test-002' to export; did you mean 'test-0002'?",
        ),
        (("--case", "?"), "there is no case '?' to export; known: test-0000, test-0001, test-0002"),
        (("--explainer", "grv"), "there is no explainer 'grv' to export; did you mean 'gvr'?"),
        (("--explainer", "lime"), "has no rationales: failed: captum is not installed"),
        (("--only", "table"), "there is no part 'table' to export; did you mean 'tables'?"),
        (("--only", "tables", "--case", "test-0000"), "--case and --explainer select rationales"),
    ],
)
def test_unknown_selections_are_refused(
    make_run: Make, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, error = typed(make_run(n=3, size=8), "--out", tmp_path / "out", *words)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_one_line(make_run: Make, tmp_path: Path) -> None:
    run, file = make_run(n=1, size=8), tmp_path / "file"
    file.touch()
    for out in (file, file / "below"):
        code, _, error = typed(run, "--out", out)
        assert code == 2
        assert f"cannot write into {out}" in error
        assert error.count("\n") == 1
    (tmp_path / "out" / "tables").mkdir(parents=True)
    (tmp_path / "out" / "tables" / "models.csv").mkdir()
    code, _, error = typed(run, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot write" in error
    assert "models.csv" in error


def test_hostile_names_stay_in_folder(make_run: Make, tmp_path: Path) -> None:
    ids = ["../../../up", "/etc/x", "..", "😀", "שלום", "a/b", "a-b", "a\\b", "twice", "twice"]
    names = {"gvr": "..∕..∕gvr", "saliency": "input", "edge": "😀", "random": "gvr-counterfactual"}
    run = renamed(make_run(n=len(ids), size=8), ids, names)
    out = tmp_path / "deep" / "out"
    before = set(tmp_path.rglob("*"))
    summary = export([run], out, Selection(RATIONALES))
    assert summary.cases == len(ids)
    assert all(path.is_relative_to(tmp_path / "deep") for path in set(tmp_path.rglob("*")) - before)
    folders = sorted((out / "rationales").iterdir())
    line = {json.loads((folder / "case.json").read_text("utf-8"))["case"] for folder in folders}
    assert len(folders) == len(ids)
    assert line == set(ids)
    for folder in folders:
        facts = json.loads((folder / "case.json").read_text("utf-8"))["explainers"]
        assert facts.keys() >= {"../../gvr", "input", "😀", "gvr-counterfactual"}
        assert len({about["file"] for about in facts.values()}) == len(facts)
        assert all((folder / f"{about['file']}.png").is_file() for about in facts.values())
        assert len(list(folder.glob("*.png"))) == len(facts) + 5  # 4 known, 1 counterfactual
        with np.load(folder / "rationales.npz", allow_pickle=False) as arrays:
            assert not any(sign in name for name in arrays for sign in "/\\:")


def test_names_with_slash_are_selected(make_run: Make, tmp_path: Path) -> None:
    run = renamed(make_run(n=1, size=8), ["a/b"], {"gvr": "mine∕gvr"})
    code, line, _ = typed(run, "--out", tmp_path, "--only", "rationales", "--case", "a/b",
                          "--explainer", "mine/gvr")  # fmt: skip
    assert code == 0
    assert "the rationales of 1 case" in line
    assert (tmp_path / "rationales" / "a-b" / "mine-gvr-counterfactual.png").is_file()


def test_export_writes_all_parts_twice_alike(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = add_trajectories(make_run(n=2, size=32))
    code, line, _ = typed(run, "--out", tmp_path / "out")
    assert code == 0
    files = files_of(tmp_path / "out")
    assert {"tables/scoreboard.csv", "tables/scoreboard.json", "tables/scoreboard.md",
            "tables/scoreboard.tex", "tables/models.csv",
            "figures/roc.svg", "figures/roc.png"} <= set(files)  # fmt: skip
    case = {name.split("/")[2] for name in files if name.startswith("rationales/test-0001/")}
    assert case == {
        "case.json", "rationales.npz", "input.png", "reconstruction.png", "true-change.png",
        "outline.png", "gvr.png", "gvr-counterfactual.png", "saliency.png", "occlusion.png",
        "integrated_gradients.png", "layer_gradcam.png", "random.png", "edge.png", "intensity.png",
    }  # fmt: skip
    drawn = [name for name in files if name.endswith(".svg")]
    assert drawn
    assert {f"{name[:-4]}.{ending}" for name in drawn for ending in ("png", "pdf")} <= set(files)
    last = line.splitlines()[-1]
    assert f"2 tables, {len(drawn)} figures, the rationales of 2 cases" in last
    assert f"({len(files)} files, " in last
    assert last.endswith(str(tmp_path / "out"))
    assert not [name for name in files if "/." in name]  # no partial file stays

    (tmp_path / "again" / "tables").mkdir(parents=True)
    (tmp_path / "again" / "tables" / "models.csv").write_text("old")
    (tmp_path / "again" / "mine.txt").write_text("mine")
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    export([run], tmp_path / "again", Selection())
    second = files_of(tmp_path / "again")
    assert second.pop("mine.txt") == b"mine"
    assert second == files


@pytest.mark.parametrize(("size", "wide"), [(8, 512), (28, 504), (64, 512), (128, 512), (600, 600)])
def test_pictures_are_enlarged_by_integers(
    make_run: Make, tmp_path: Path, size: int, wide: int
) -> None:
    export([make_run(n=1, size=size)], tmp_path, Selection(RATIONALES))
    for path in (tmp_path / "rationales" / "test-0000").glob("*.png"):
        assert Image.open(path).size == (wide, wide)


def test_small_pictures_are_enlarged(make_run: Make, tmp_path: Path) -> None:
    run = make_run(n=1, size=8)
    export([run], tmp_path, Selection(RATIONALES))
    shown = np.asarray(Image.open(tmp_path / "rationales" / "test-0000" / "input.png").convert("L"))
    with h5py.File(run / "cases.h5") as file:
        image = file["0/input"][0, 0]
    assert shown.shape == (512, 512)
    assert np.abs(shown[32::64, 32::64].astype(int) - image).mean() < 12


def test_arrays_are_those_of_run(make_run: Make, tmp_path: Path) -> None:
    run = make_run(n=2, size=8)
    export([run], tmp_path, Selection(RATIONALES, cases=["test-0001"], explainers=["gvr"]))
    (folder,) = (tmp_path / "rationales").iterdir()
    with np.load(folder / "rationales.npz", allow_pickle=False) as arrays:
        case = dict(arrays)
    assert set(case) == {"input", "reconstruction", "true_change", "mask", "attribution_gvr",
                          "counterfactual_gvr"}  # fmt: skip
    assert {array.dtype for array in case.values()} == {np.dtype(np.float32)}
    with h5py.File(run / "cases.h5") as file:
        group = file["0"]
        assert np.array_equal(case["attribution_gvr"], group["explainers/gvr/attribution"][1])
        assert np.array_equal(case["mask"], group["mask"][1])
        assert np.allclose((case["input"] + 1) * 127.5, group["input"][1], atol=1e-4)
    assert case["input"].shape == (1, 8, 8)


def test_runs_and_models_have_folders(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORMATS", ("svg",))
    runs = [make_run("one", n=1, size=8), make_run("two", n=1, size=8)]
    with h5py.File(runs[1] / "cases.h5", "a") as file:
        file.copy("0", "1")
        file["1"].attrs["seed"] = 1
    export(runs, tmp_path / "out", Selection())
    folders = {path.parent.as_posix() for path in (tmp_path / "out").rglob("case.json")}
    below = (tmp_path / "out" / "rationales").as_posix()
    model = "wgan_gp-conv-linear-on-phantom-seed"
    assert folders == {
        f"{below}/one/test-0000",
        *(f"{below}/two/{model}-{seed}/test-0000" for seed in (0, 1)),
    }
    assert (tmp_path / "out" / "figures" / "two").is_dir()


def test_run_without_cases_exports_tables(make_run: Make) -> None:
    run = make_run(n=1, size=8)
    (run / "cases.h5").unlink()
    code, line, _ = typed(run)
    assert code == 0
    assert line.startswith("Exported 2 tables")
    assert not (run / "export" / "rationales").exists()
    code, line, _ = typed(run, "--only", "rationales", "--out", run.parent / "out")
    assert line.startswith("Exported nothing")
