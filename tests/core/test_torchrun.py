"""One process or several: the same networks; and whatever ends one of them ends all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchrun import end_lines, start

pytestmark = pytest.mark.slow
STEPS = 40
PARTS = {
    "--dataset": "phantom:size=32,train=160,validation=16,test=32",
    "--generator": f"wgan-gp:iterations={STEPS},width=4,batch=9",
    "--encoder": f"conv:steps={STEPS},width=4,batch=9",
    "--head": "linear:steps=20",
    "--explainer": "saliency",
    "--metrics": "truth",
    "--max-cases": "4",
    "--device": "cpu",
    "--checkpoint-every": "100",  # seconds: only where one is asked for
}


def test_several_processes_equal_one(tmp_path: Path) -> None:
    file = tmp_path / "alone.safetensors"
    assert start(1, "float64_trainings.py", str(file)).returncode == 0
    alone = load_file(file)
    done = start(3, "float64_trainings.py", str(file := tmp_path / "together.safetensors"))
    assert done.returncode == 0, done.stderr
    together = load_file(file)
    assert together.keys() == alone.keys()
    assert {name.split("/")[0] for name in together} == {"WganGp", "Vae", "Conv"}
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-10, atol=1e-10)


def outcomes(folder: Path) -> dict[str, list[str]]:
    """How the stages of a run ended: status -> `kind name`."""
    stages = json.loads((folder / "run" / "environment.json").read_text())["stages"]
    ended: dict[str, list[str]] = {}
    for stage in stages:
        ended.setdefault(stage["status"], []).append(f"{stage['kind']} {stage['name']}")
    return ended


def run(folder: Path, processes: int, *, parts: dict[str, str] | None = None, **happens: object):
    """Run the smallest plan into a folder."""
    places = {"--cache-dir": folder / "cache", "--out": folder / "run"}
    typed = [str(part) for option in (PARTS | places | (parts or {})).items() for part in option]
    happens = {"happens": "nothing", "to": "nobody", **happens}
    return start(processes, "misbehaving.py", "run", *typed, **happens)


def trained(folder: Path, kind: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Weights and losses of the only network of a kind in a cache."""
    (place,) = (folder / "cache" / kind).iterdir()
    return load_file(place / "weights.safetensors"), json.loads(
        (place / "history.json").read_text()
    )


def assert_close(single: Path, several: Path) -> None:
    """Single precision: sums are in another order, and Adam magnifies that in tiny gradients.

    A weight moves by up to STEPS times the rate, 0.04 of an encoder's.
    """
    for kind in ("generator", "encoder"):
        (weights, losses), (ours, logged) = trained(single, kind), trained(several, kind)
        for name, value in weights.items():
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-2)
        assert [row.keys() for row in logged] == [row.keys() for row in losses]
        for row, expected in zip(logged, losses, strict=True):
            assert list(row.values()) == pytest.approx(list(expected.values()), rel=1e-2, abs=1e-3)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process."""
    folder = tmp_path_factory.mktemp("one")
    assert run(folder, 1).returncode == 0
    return folder


def test_two_processes_write_one_run(tmp_path: Path, single: Path) -> None:
    done = run(tmp_path, 2)
    assert done.returncode == 0, done.stderr
    assert (end_lines(done), done.stdout.count("Report: ")) == ([], 1)
    names = [line.split()[-2:] for line in done.stderr.splitlines() if line.startswith("done")]
    assert names.count(["generator", "wgan-gp"]) == names.count(["encoder", "conv"]) == 1
    assert set(outcomes(tmp_path)) == {"done"}
    assert not list((tmp_path / "cache").rglob("work"))
    assert not list((tmp_path / "cache" / "drafts").iterdir())
    assert_close(single, tmp_path)

    again = run(tmp_path, 2)
    assert (again.returncode, again.stdout.count("Report: ")) == (0, 1)
    assert set(outcomes(tmp_path)) == {"cached"}


def test_run_resumes_with_other_process_counts(tmp_path: Path, single: Path) -> None:
    def checkpoints() -> list[str]:
        return [file.name.split("-")[1] for file in tmp_path.rglob("checkpoint-*")]

    done = run(tmp_path, 2, happens="terminate torchrun", to=0, at=10)
    assert end_lines(done) == ["terminated; run the same command again to resume"]
    (step,) = checkpoints()
    assert 11 <= int(step) <= 12
    done = run(tmp_path, 3, happens="terminate", to=2, at=20)  # and not the first, which writes
    assert end_lines(done) == ["terminated; run the same command again to resume"]
    (step,) = checkpoints()
    assert 21 <= int(step) <= 22
    assert run(tmp_path, 1).returncode == 0
    assert_close(single, tmp_path)


@pytest.mark.parametrize("to", [0, 1])
def test_killed_process_ends_the_others(tmp_path: Path, to: int) -> None:
    done = run(tmp_path, 2, happens="kill", to=to, at=5)
    (line,) = end_lines(done)
    assert done.returncode != 0
    assert line.endswith("run the same command again to resume")
    assert not list(tmp_path.rglob("error.json"))


def test_error_in_follower_names_its_rank(tmp_path: Path) -> None:
    done = run(tmp_path, 2, happens="bug", to=1, at=5)
    (line,) = end_lines(done)
    assert line.startswith("error: rank 1 of 2: generator wgan-gp failed: RuntimeError: a bug")
    assert done.stdout == ""


@pytest.mark.parametrize("to", [0, "all"])
def test_error_in_training_ends_the_run(tmp_path: Path, to: object) -> None:
    done = run(tmp_path, 2, happens="bug", to=to, at=5)
    (line,) = end_lines(done)
    assert line.startswith("error: generator wgan-gp failed: RuntimeError: a bug (traceback in")
    assert done.returncode != 0
    (report,) = tmp_path.rglob("error.json")
    assert json.loads(report.read_text())["message"] == "a bug"


def test_usage_error_is_printed_once() -> None:
    done = start(2, "misbehaving.py", "run", "--generator", "wgn", happens="nothing", to="nobody")
    assert end_lines(done) == ["error: unknown generator 'wgn'; did you mean 'wgan-gp'?"]


def test_more_processes_than_rows_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, 3, parts={"--generator": "wgan-gp:iterations=3,width=4,batch=2"})
    (line,) = end_lines(done)
    assert "a batch of 2 cannot be shared by 3 processes; start fewer" in line


def test_dry_run_is_printed_once() -> None:
    done = start(
        2,
        "misbehaving.py",
        "run",
        "--dry-run",
        "--generator",
        PARTS["--generator"],
        happens="nothing",
        to="nobody",
    )
    assert (done.returncode, done.stdout.count("wgan-gp")) == (0, 1), done.stdout
