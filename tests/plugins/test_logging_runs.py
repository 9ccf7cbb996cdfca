"""Runs in the tools that people already look at: MLflow, TensorBoard and wandb."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from gvr_logging import losses_of, params_of, scores_of
from typer.testing import CliRunner, Result

import gvr_bench.api as gvr
from gvr_bench.cli.main import app
from gvr_bench.registry.registry import installed

TINY = (
    "run", "--dataset", "phantom:size=32,train=160,validation=16,test=32", "--max-cases", "4",
    "--generator", "wgan-gp:iterations=3,width=4,batch=8", "--encoder", "conv:steps=3,width=4",
    "--head", "linear:steps=20", "--explainer", "saliency", "--explainer", "edge",
    "--metrics", "truth", "--device", "cpu",
)  # fmt: skip
SERVER, FOLDER, PROJECT = "MLFLOW_TRACKING_URI", "GVR_BENCH_TENSORBOARD", "WANDB_PROJECT"
CELL = {
    "dataset": "phantom", "generator": "vae", "encoder": "conv", "head": "mlp", "seed": 0,
    "explainer": "gvr", "output": "all", "metric": "pixel_ap", "value": 0.5,
}  # fmt: skip

Again = Callable[..., Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a second, with its cache beside it."""
    home = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        for name in (SERVER, FOLDER, PROJECT):
            patch.delenv(name, raising=False)
        arguments = [*TINY, "--cache-dir", str(home / "cache"), "--out", str(home / "run")]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    return home / "run"


@pytest.fixture
def again(run: Path, monkeypatch: pytest.MonkeyPatch) -> Again:
    """Type the same command again, with environment variables; nothing is computed."""

    def type_in(*more: str, **environment: str) -> Result:
        for name in (SERVER, FOLDER, PROJECT):
            monkeypatch.delenv(name, raising=False)
        for name in ("MAX_RETRIES", "TIMEOUT"):  # set by the plugin, and put back after the test
            monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "1")
            monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        arguments = [*TINY, "--cache-dir", str(run.parent / "cache"), "--out", str(run), *more]
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return type_in


def warnings_of(done: Result) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("warning")]


def records_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


def test_unreachable_server_is_one_warning(again: Again) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow-skinny")
    done = again("--json", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tables"]
    (warning,) = warnings_of(done)
    assert "gvr_mlflow" in warning
    assert "127.0.0.1:9" in warning


@pytest.mark.parametrize(
    ("name", "where", "module"),
    [
        (SERVER, "file:mlruns", "mlflow"),
        (FOLDER, "events", "torch.utils.tensorboard"),
        (PROJECT, "explainers", "wandb"),
    ],
)
def test_missing_library_is_one_warning(
    again: Again, monkeypatch: pytest.MonkeyPatch, name: str, where: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = again(**{name: where})
    assert done.exit_code == 0
    (warning,) = warnings_of(done)
    library = module.split(".")[-1]
    assert f"{name} is set and {library} is not installed: pip install" in warning
    assert f"gvr-bench[{library}]" in warning


def test_unwritable_folder_is_one_warning(again: Again, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    (tmp_path / "file").touch()
    done = again(GVR_BENCH_TENSORBOARD=str(tmp_path / "file"))
    assert done.exit_code == 0
    (warning,) = warnings_of(done)
    assert "gvr_tensorboard" in warning


def test_listeners_get_stages_and_run(again: Again, run: Path) -> None:
    heard: list[tuple[str, Path]] = []
    ended: list[tuple[int, list[str]]] = []

    class Listener:
        @gvr.hookimpl
        def gvr_stage_finished(self, kind: str, folder: Path) -> None:
            heard.append((kind, folder))

        @gvr.hookimpl
        def gvr_run_finished(self, folder: Path, records: Sequence[Any], stages: Any) -> None:
            assert (folder / "index.html").is_file()
            assert [(stage["kind"], stage["folder"]) for stage in stages] == heard
            ended.append((len(records), [stage["status"] for stage in stages]))

    listener = Listener()
    (run / "index.html").unlink()
    installed().hooks.register(listener)
    try:
        assert again().exit_code == 0
    finally:
        installed().hooks.unregister(listener)
    assert ended == [(len(records_of(run)), ["cached"] * len(heard))]
    assert all((folder / "meta.json").is_file() for _, folder in heard)


def test_unused_loggers_import_nothing() -> None:
    code = (
        "import sys\n"
        "from gvr_logging import mlflow as m, tensorboard as t, wandb as w\n"
        "for logger in (m, t, w): logger.gvr_run_finished('absent', [], [])\n"
        "assert not {'mlflow', 'tensorboard', 'torch', 'wandb'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={})


def test_mlflow_has_params_metrics_and_files(again: Again, run: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    where = f"file:{tmp_path / 'mlruns'}"
    done = again("--json", MLFLOW_TRACKING_URI=where, MLFLOW_ALLOW_FILE_STORE="true")
    assert (done.exit_code, warnings_of(done)) == (0, [])
    assert json.loads(done.stdout)["tables"]
    client = mlflow.MlflowClient(where)
    (logged,) = client.search_runs(["0"])
    assert logged.info.run_name == "run"
    assert logged.info.status == "FINISHED"
    assert logged.data.params["head"] == "linear:steps=20"
    assert logged.data.params["explainer"] == "saliency edge"
    assert logged.data.params["latents.shift"] == "0.0625"
    scores = {f"{r['explainer'] or 'model'}/{r['metric']}": r["value"] for r in records_of(run)}
    scores = {name: value for name, value in scores.items() if value is not None}
    assert {"saliency/pixel_ap", "model/auroc"} <= scores.keys()
    assert {name: logged.data.metrics[name] for name in scores} == scores
    (history,) = (run.parent / "cache" / "head").glob("*/history.json")
    losses = [
        (entry["step"], entry["loss"])
        for entry in json.loads(history.read_text())
        if "loss" in entry
    ]
    found = client.get_metric_history(logged.info.run_id, "head linear/loss")
    assert sorted((m.step, m.value) for m in found) == sorted(losses)
    assert len(losses) > 1
    files = {file.path for file in client.list_artifacts(logged.info.run_id)}
    assert files == {"index.html", "records.jsonl", "spec.toml", "environment.json"}


def test_tensorboard_has_losses_and_scores(again: Again, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = again(GVR_BENCH_TENSORBOARD=str(tmp_path / "events"))
    assert (done.exit_code, warnings_of(done)) == (0, [])
    (events,) = (tmp_path / "events").iterdir()
    losses = EventAccumulator(str(events / "head linear")).Reload()
    assert losses.Scalars("loss")[0].step == 0
    (row,) = events.glob("*saliency")
    scores = EventAccumulator(str(row)).Reload()
    (ours,) = [
        r["value"]
        for r in records_of(run)
        if (r["explainer"], r["metric"]) == ("saliency", "pixel_ap")
    ]
    assert scores.Scalars("pixel_ap")[0].value == pytest.approx(ours)
    assert "_hparams_/session_start_info" in scores.summary_metadata


def test_wandb_has_config_summary_and_files(again: Again, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    done = again(WANDB_PROJECT="explainers", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    assert (done.exit_code, warnings_of(done)) == (0, [])
    (logged,) = (tmp_path / "wandb").glob("offline-run-*")
    saved = {path.name for path in (logged / "files").iterdir()}
    assert {"index.html", "records.jsonl", "spec.toml", "environment.json"} <= saved
    content = next(logged.glob("*.wandb")).read_bytes()
    for text in (b"linear:steps=20", b"saliency/pixel_ap", b"head linear/loss"):
        assert text in content


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ([{}], ["gvr/pixel_ap"]),
        ([{"explainer": None, "metric": "auroc"}], ["model/auroc"]),
        ([{"output": "Mass"}, {}], ["gvr/Mass/pixel_ap", "gvr/pixel_ap"]),
        ([{}, {"seed": 1}], ["seed 0/gvr/pixel_ap", "seed 1/gvr/pixel_ap"]),
        ([{"explainer": "gvr:penalty=1,steps=9"}], ["gvr_penalty_1_steps_9/pixel_ap"]),
        (
            [{}, {"head": "linear", "dataset": "digits"}],
            ["phantom/mlp/gvr/pixel_ap", "digits/linear/gvr/pixel_ap"],
        ),
        ([{"value": None}], []),
    ],
)
def test_score_names_are_short_and_unique(cells: list[dict[str, Any]], names: list[str]) -> None:
    assert list(scores_of([CELL | cell for cell in cells])) == names


def test_losses_of_equal_names_are_labelled(
    tmp_path: Path,
) -> None:
    (tmp_path / "history.json").write_text('[{"step": 0.0, "loss": 1.5}]')
    stage = {"kind": "head", "name": "mlp", "key": "a" * 64, "folder": tmp_path}
    other = stage | {"key": "b" * 64}
    failed = {"kind": "encoder", "name": "conv", "key": "c" * 64, "folder": None}
    history = [{"step": 0.0, "loss": 1.5}]
    assert list(losses_of([stage, failed])) == [("head mlp", history)]
    assert list(losses_of([stage, other])) == [
        ("head mlp aaaaaaaa", history),
        ("head mlp bbbbbbbb", history),
    ]


def test_params_are_written_as_typed(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(
        "seeds = [0, 1]\npretraining_dataset = []\n[latents]\ncopies = 4\n"
        '[[explainer]]\nname = "gvr"\npenalty = 10\n[[explainer]]\nname = "folder:DIR"\nsize = 8\n'
    )
    assert params_of(tmp_path) == {
        "seeds": "0 1",
        "pretraining_dataset": "",
        "latents.copies": "4",
        "explainer": "gvr:penalty=10 folder:DIR,size=8",
    }
