"""Runs on a Ray cluster of two nodes on this machine: the same records as in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import command, outcomes_of, records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.pipeline.executors import ray as ray_executor
from gvr_bench.pipeline.executors.remote_tasks import TaskRequest

cluster_utils = pytest.importorskip(
    "ray.cluster_utils", reason="ray is not installed: gvr-bench[ray]"
)
pytestmark = pytest.mark.slow
CHOICES = {"explainer": ["saliency", "gvr:steps=5", "random"]}
IN_PARTS, PARTS = ("--max-cases", "10", "--batch-size", "1"), 3
LONG = {**CHOICES, "generator": "wgan-gp:iterations=150,width=4,batch=8"}


def typed(home: Path, *more: str, **choices: Any) -> list[str]:
    return command("--cache-dir", f"{home}/cache", "--out", f"{home}/run", *more, **choices)


def comparable(run: Path) -> list[dict[str, Any]]:
    """Records without what a clock says, or the system of memory."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in records_of(run)
        if record["metric"] not in {"seconds_per_image", "peak_memory_mb"}
    ]


def here(home: Path, **choices: Any) -> Path:
    """Run in this process."""
    done = CliRunner().invoke(app, typed(home, **choices), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return home / "run"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes, each with as many CPUs as a stage asks for."""
    import torch

    size = {"num_cpus": torch.get_num_threads(), "object_store_memory": 80 * 2**20}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**size, "include_dashboard": False}
    )
    cluster.add_node(**size)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def there(address: str) -> Callable[..., Any]:
    """Run on the cluster; return what the command said."""

    def run(home: Path, *more: str, code: int = 0, **choices: Any) -> Any:
        words = typed(home, "--executor", "ray", "--ray-address", address, *more, **choices)
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done

    return run


def background(home: Path, address: str, *more: str, **choices: Any) -> subprocess.Popen[str]:
    words = typed(home, "--executor", "ray", "--ray-address", address, *more, **choices)
    return subprocess.Popen(
        [sys.executable, "-m", "gvr_bench", *words],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def until(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait for something to be true while a run is at work."""
    limit = time.monotonic() + 120
    while not (actual := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    return actual


def worker_of(stage: str) -> list[int]:
    """Processes that Ray has named after the stage they compute."""
    actual = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(f"ray::{stage}".encode()):
                actual.append(int(path.parent.name))
        except OSError:
            continue
    return actual


def test_worker_of_another_version_is_named(
    tmp_path: Path, there: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"gvr_bench": "9.9", "python": "3.11.0", "torch": "9.9"}
    monkeypatch.setattr(ray_executor, "versions", lambda: other)
    (line,) = there(tmp_path, code=2).stderr.splitlines()
    assert line.startswith("error: node ")
    assert line.endswith("the run has gvr-bench 9.9, python 3.11.0, torch 9.9: install the same")


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ({"cache": "/nowhere"}, "does not see the cache /nowhere; choose a folder that all nodes"),
        ({"plan": "0" * 64}, "plans other stages from the same spec"),
    ],
    ids=["cache", "plan"],
)
def test_unusable_node_is_named_first(
    tmp_path: Path,
    there: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    message: dict[str, str],
    printed: str,
) -> None:
    monkeypatch.setattr(
        ray_executor, "TaskRequest", lambda **known: TaskRequest(**{**known, **message})
    )
    (line,) = there(tmp_path, code=2).stderr.splitlines()
    assert line.startswith("error: node ")
    assert printed in line
    assert not list((tmp_path / "cache").glob("*/*/meta.json"))
    assert not list((tmp_path / "cache").glob(".cluster-*"))


def test_records_equal_those_of_one_process(tmp_path: Path, there: Callable[..., Any]) -> None:
    there(tmp_path / "there", **CHOICES)
    assert set(outcomes_of(tmp_path / "there" / "run")) == {"done"}
    assert comparable(tmp_path / "there" / "run") == comparable(here(tmp_path / "here", **CHOICES))
    printed = there(tmp_path / "there", **CHOICES).stderr
    assert "stages were in the cache" in printed


def test_parts_on_workers_give_same_records(tmp_path: Path, there: Callable[..., Any]) -> None:
    there(tmp_path / "there", *IN_PARTS, **CHOICES)
    words = typed(tmp_path / "here", *IN_PARTS, **CHOICES)
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    apart, alone = (comparable(tmp_path / where / "run") for where in ("there", "here"))
    assert len(apart) > 20
    assert apart == alone


def test_failing_part_fails_its_stage(tmp_path: Path, there: Callable[..., Any]) -> None:
    there(tmp_path, *IN_PARTS, code=1, explainer=["gvr:steps=5", "occlusion:window=99"])
    failed = outcomes_of(tmp_path / "run")["failed"]
    assert failed == ["explanations occlusion"]


def test_killed_worker_costs_one_part(tmp_path: Path, address: str) -> None:
    slow = {"explainer": ["gvr:steps=400,cutoff=1e-9"]}
    home = tmp_path / "there"
    process = background(home, address, *IN_PARTS, **slow)
    work = home / "cache/explanations"
    until(lambda: list(work.glob("gvr-*/work/checkpoint-*")), process)
    first = {path.name: path.stat().st_mtime_ns for path in work.glob("gvr-*/work/checkpoint-*")}
    (worker, *_) = until(lambda: worker_of("explanations gvr, cases"), process)
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(list(work.glob("gvr-*/work/checkpoint-*"))) == PARTS, process)
    last = {path.name: path.stat().st_mtime_ns for path in work.glob("gvr-*/work/checkpoint-*")}
    assert first.items() <= last.items()
    _, printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    warnings = [line for line in printed.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "explanations gvr, cases" in warnings[0]
    assert "its worker was lost" in warnings[0]


def test_recompute_and_damage_on_a_cluster(tmp_path: Path, there: Callable[..., Any]) -> None:
    there(tmp_path)
    before = comparable(tmp_path / "run")
    there(tmp_path, "--recompute", "saliency")
    assert "explanations saliency" in outcomes_of(tmp_path / "run")["done"]
    (weights,) = (tmp_path / "cache").glob("encoder/*/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    printed = there(tmp_path, "--recompute", "explanations").stderr
    assert printed.count("warning: encoder conv is damaged in ") == 1
    assert comparable(tmp_path / "run") == before


def test_failed_stage_leaves_others_running(tmp_path: Path, there: Callable[..., Any]) -> None:
    there(tmp_path, code=1, encoder=["conv:steps=3,width=4", "conv:steps=3,learning_rate=1e38"])
    outcomes = outcomes_of(tmp_path / "run")
    assert outcomes["failed"] == ["encoder conv"]
    assert "explanations saliency" in outcomes["done"]


def test_killed_worker_resumes_from_checkpoint(tmp_path: Path, address: str) -> None:
    home = tmp_path / "there"
    process = background(home, address, "--checkpoint-every", "0", **LONG)
    until(lambda: list(home.glob("cache/generator/*/work/checkpoint-*.safetensors")), process)
    for worker in worker_of("generator wgan-gp"):
        os.kill(worker, signal.SIGKILL)
    _, printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert (
        printed.count("warning: ")
        == printed.count("its worker was lost; it goes on in another")
        == 1
    )
    assert comparable(home / "run") == comparable(here(tmp_path / "here", **LONG))


@pytest.mark.parametrize(
    ("number", "code", "label"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_stopped_run_leaves_a_checkpoint(
    tmp_path: Path, address: str, number: int, code: int, label: str
) -> None:
    choices = {**LONG, "generator": "wgan-gp:iterations=3000,width=4,batch=8"}
    process = background(tmp_path, address, "--checkpoint-every", "5", **choices)
    saved = "cache/generator/*/work/checkpoint-*.safetensors"
    (first,) = until(lambda: list(tmp_path.glob(saved)), process)
    until(lambda: any(path.name != first.name for path in tmp_path.glob(saved)), process)
    process.send_signal(number)
    _, printed = process.communicate(timeout=100)
    assert process.returncode == code, printed
    assert printed.splitlines()[-1] == f"{label}; run the same command again to resume"
    assert "Traceback" not in printed
    (last,) = tmp_path.glob(saved)
    assert int(last.name.split("-")[1]) > int(first.name.split("-")[1])
