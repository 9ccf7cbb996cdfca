"""The command line: bad input is one line, and what only lists loads no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import Packages, command, outcomes_of, records_of

LIGHT = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["report", "--help"],
    ["plugins", "list"],
    ["plugins", "list", "--json"],
    ["datasets", "list"],
    ["datasets", "info", "digits:size=8"],
]


def heavy(arguments: list[str]) -> list[str]:
    """What a command loads that takes seconds."""
    code = (
        "import sys\nfrom gvr_bench.cli.main import app\n"
        f"try:\n    app({arguments!r}, standalone_mode=False)\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print([m for m in ('torch', 'torchvision', 'captum') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1].replace("'", '"'))


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_what_only_lists_loads_no_torch(arguments: list[str]) -> None:
    assert heavy(arguments) == []


BAD = {
    "a data set": (command(dataset="fantom"), "unknown dataset 'fantom'; did you mean 'phantom'?"),
    "a generator": (command(generator="wgan"), "unknown generator 'wgan'; did you mean 'wgan-gp'?"),
    "an explainer": (command(explainer="salience"), "unknown explainer 'salience'"),
    "a head": (command(head="liner"), "unknown head 'liner'; did you mean 'linear'?"),
    "a setting": (
        command(explainer="saliency:absolut=1"),
        "explainer 'saliency' has no setting 'absolut'; did you mean 'absolute'?",
    ),
    "a value": (command(head="linear:steps=0"), "head 'linear': steps='0': Input should be"),
    "a setting without value": (command(head="linear:steps"), "write linear:steps=value"),
    "a size": (command(dataset="phantom:size=48,train=9,validation=3,test=9"), "not 48"),
    "max cases 0": (command("--max-cases", "0"), "max_cases = 0: Input should be greater"),
    "fresh": (command("--recompute", "salience"), "--recompute salience: no such stage; did "
    "you mean"),
    "fresh and cached": (
        command("--recompute", "all", "--cached-only"),
        "--recompute computes again and --cached-only computes nothing",
    ),
    "a spec": (["run", "absent.toml"], "no spec absent.toml"),
    "data": (command("--data-root", "absent", dataset="chestxray8"), "absent"),
    "no data root": (command(dataset="chestxray8"), "--data-root"),
    "a run": (["report", "absent"], "there is no run at absent"),
    "information": (["datasets", "info", "digit"], "did you mean 'digits'?"),
    "digits": (["datasets", "info", "digits:source=4"], "source and target are both 4"),
    "no place": (["run", "--out", "/dev/null/run"], "cannot write the run's folder /dev/null/run"),
    "no cache": (["run", "--cache-dir", "/dev/null/cache"], "cannot write the cache "
    "/dev/null/cache"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "why"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(cli, arguments: list[str], why: str) -> None:
    assert why in cli(*arguments).fault


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_missing_gpu_is_one_line(cli) -> None:
    assert "no CUDA device here" in cli(*command("--device", "cuda")).fault


def test_missing_interface_has_no_traceback(cli) -> None:
    done = cli("run", "--explaner", "gvr")
    assert done.code == 2
    assert done.out == ""
    assert "--explainer" in done.err
    assert "Traceback" not in done.err


def test_bad_size_fails_before_computing(cli, tmp_path: Path) -> None:
    cli(*command(dataset="phantom:size=48,train=9,validation=3,test=9"))
    assert not (tmp_path / "cache" / "data").exists()
    assert list(Path().iterdir()) == []


def test_fresh_with_cached_only_forgets_nothing(cli, tmp_path: Path) -> None:
    assert cli(*command("--out", "run")).code == 0
    cli(*command("--recompute", "all", "--cached-only"))
    assert cli(*command("--out", "run", "--cached-only")).code == 0


def test_a_plan_computes_nothing(cli, tmp_path: Path) -> None:
    done = cli(*command("--dry-run"))
    assert (done.code, done.err) == (0, "")
    assert "11 of 11 stages to compute" in " ".join(done.out.split())
    assert not (tmp_path / "cache").exists()
    assert list(Path().iterdir()) == []


def test_a_run_says_first_how_much_is_to_compute(cli) -> None:
    assert cli(*command("--out", "run")).err.splitlines()[0] == (
        "11 stages to compute, the time unknown to this cache"
    )


@pytest.mark.parametrize("again", [(), ("--recompute", "saliency")])
def test_a_quiet_run_prints_its_result_alone(cli, again: tuple[str, ...]) -> None:
    for more in ((), again):
        done = cli(*command("--out", "run", "--quiet", *more))
        assert (done.code, done.err) == (0, "")
        assert "Report: run/index.html" in done.out


def test_a_plan_is_one_json_document(cli) -> None:
    stages = json.loads(cli(*command("--dry-run", "--json")).out)
    assert [stage["kind"] for stage in stages] == [
        "data", "cases", "generator", "encoder", "latents", "head", "prediction", "explanations",
        "scores", "scores", "scores",
    ]  # fmt: skip
    assert {stage["state"] for stage in stages} == {""}


def test_cached_only_names_missing_stages(cli) -> None:
    done = cli(*command("--cached-only", "--out", "run"))
    assert done.code == 1
    assert "data phantom is not in the cache (--cached-only)" in done.err
    assert "Traceback" not in done.err
    records = records_of(Path("run"))
    assert {r["status"] for r in records} == {"failed"}
    assert {r["reason"] for r in records} == {"data phantom is not in the cache (--cached-only)"}
    assert set(outcomes_of(Path("run"))) == {"failed", "skipped"}


def test_information_about_a_data_set(cli) -> None:
    done = cli("datasets", "info", "digits:size=16")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "task multiclass of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in words
    assert "images 1 x 16 x 16" in words
    assert "rationale 9 to 4" in words
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    counts = [int(number.replace(",", "")) for number in rows["patients"]]
    assert len(counts) == 3
    assert sum(counts) == 1797


def test_broken_package_is_a_listed_row(
    cli, packages: Packages, use_packages: Callable[[], None]
) -> None:
    packages.add("rotten", "import no_such_library")
    use_packages()
    done = cli("plugins", "list", "--json")
    assert done.code == 0
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert rows["rotten"] == {
        "kind": "?",
        "name": "rotten",
        "distribution": "rotten 1.0",
        "text": "ModuleNotFoundError: No module named 'no_such_library'",
        "broken": True,
    }
    assert not rows["saliency"]["broken"]
    assert "broken: ModuleNotFoundError" in " ".join(cli("plugins", "list").out.split())


@pytest.mark.parametrize(("rank", "said"), [("0", True), ("1", False)])
def test_only_first_process_runs_other_commands(
    cli, monkeypatch: pytest.MonkeyPatch, rank: str, said: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    done = cli("plugins", "list")
    assert done.code == 0
    assert bool(done.out) is said
