"""Several workers on this machine or on a Ray cluster: the records of one, whatever ends them."""

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
import torch
from killed_workers import ray_cluster
from made_up_stages import BINARY, Bank, Squares
from rich.console import Console
from tiny import command, outcomes_of, plan_of, records_of
from typer.testing import CliRunner

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cli.main import app
from gvr_bench.config.spec import build_spec
from gvr_bench.core.errors import DataError, GvrError
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline import runner, worker_count
from gvr_bench.pipeline.executors import request as requests
from gvr_bench.pipeline.executors.request import WorkerReply, make_request, work
from gvr_bench.pipeline.executors.watch import Workers, watch
from gvr_bench.pipeline.options import RunOptions
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.run_state import RunState
from gvr_bench.pipeline.worker import Worker
from gvr_bench.registry.registry import Registry, installed

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


def alone(home: Path, *more: str, **choices: Any) -> Path:
    """Run in this process."""
    done = CliRunner().invoke(
        app, typed(home, "--workers", "1", *more, **choices), catch_exceptions=False
    )
    assert done.exit_code == 0, done.stderr
    return home / "run"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes with one CPU each."""
    pytest.importorskip("ray.cluster_utils", reason="ray is not installed: gvr-bench[ray]")
    with ray_cluster() as address:
        yield address


@pytest.fixture(params=["processes", "ray"])
def where(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options of a run with two workers."""
    if request.param == "processes":
        return ("--workers", "2")
    return ("--executor", "ray", "--ray-address", request.getfixturevalue("address"))


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(where: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a run with two workers in the background."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("GVR_BENCH_WORKERS")
    started = []

    def run(home: Path, *more: str, **choices: Any) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "gvr_bench", *typed(home, *where, *more, **choices)],
                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return started[-1]

    yield run
    for process in started:
        process.kill()


def ended(process: subprocess.Popen[str], code: int = 0) -> list[str]:
    """Wait for a run; return what it printed on stderr."""
    _, printed = process.communicate(timeout=600)
    assert process.returncode == code, printed
    assert "Traceback" not in printed
    return printed.splitlines()


def until(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait for something to be true while a run is at work."""
    limit = time.monotonic() + 600
    while not (actual := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    return actual


def process_of(cache: Path, kind: str) -> int:
    """The process that computes a stage of a kind, 0 if there is none."""
    keys = {path.name.rpartition("-")[2] for path in (cache / kind).glob("*")}
    drafts = (path.name.split("-") for path in cache.glob("drafts/*"))
    return next((int(process) for key, _, process, _ in drafts if key in keys), 0)


@pytest.mark.slow
def test_workers_give_the_records_of_one(tmp_path: Path, start: Start) -> None:
    ended(start(tmp_path / "several", *IN_PARTS, **CHOICES))
    assert set(outcomes_of(tmp_path / "several/run")) == {"done"}
    several = comparable(tmp_path / "several/run")
    assert len(several) > 20
    assert several == comparable(alone(tmp_path / "one", *IN_PARTS, **CHOICES))
    assert not list((tmp_path / "several/cache").rglob("work"))
    assert not list((tmp_path / "several/cache").glob(".run-*"))


@pytest.mark.slow
def test_killed_worker_resumes_from_checkpoint(tmp_path: Path, start: Start) -> None:
    home = tmp_path / "several"
    process = start(home, "--checkpoint-every", "0", **LONG)
    until(lambda: list(home.glob("cache/generator/*/work/checkpoint-*.safetensors")), process)
    os.kill(until(lambda: process_of(home / "cache", "generator"), process), signal.SIGKILL)
    warnings = [line for line in ended(process) if line.startswith("warning: ")]
    assert warnings == ["warning: a worker was lost; its work goes on in another"]
    assert comparable(home / "run") == comparable(alone(tmp_path / "one", **LONG))


@pytest.mark.slow
def test_killed_worker_costs_one_part(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, *IN_PARTS, explainer=["gvr:steps=400,cutoff=1e-9"])
    work = tmp_path / "cache/explanations"

    def stored() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in work.glob("*/work/checkpoint-*")}

    first = until(stored, process)
    os.kill(until(lambda: process_of(tmp_path / "cache", "explanations"), process), signal.SIGKILL)
    assert first.items() <= until(lambda: len(s := stored()) == PARTS and s, process).items()
    ended(process)


@pytest.mark.slow
def test_failed_stage_leaves_others_running(tmp_path: Path, start: Start) -> None:
    encoders = ["conv:steps=3,width=4", "conv:steps=3,learning_rate=1e38"]
    ended(start(tmp_path, encoder=encoders), code=1)
    outcomes = outcomes_of(tmp_path / "run")
    assert outcomes["failed"] == ["encoder conv"]
    assert "explanations saliency" in outcomes["done"]


@pytest.mark.slow
def test_recompute_and_damage_with_workers(tmp_path: Path, start: Start) -> None:
    ended(start(tmp_path))
    before = comparable(tmp_path / "run")
    (weights,) = (tmp_path / "cache").glob("encoder/*/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    printed = "\n".join(ended(start(tmp_path, "--recompute", "explanations")))
    assert printed.count("warning: encoder conv is damaged in ") == 1
    assert "explanations saliency" in outcomes_of(tmp_path / "run")["done"]
    assert comparable(tmp_path / "run") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "label"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_stopped_run_leaves_a_checkpoint(
    tmp_path: Path, start: Start, number: int, code: int, label: str
) -> None:
    choices = {**LONG, "generator": "wgan-gp:iterations=30000,width=4,batch=8"}
    process = start(tmp_path, "--checkpoint-every", "5", **choices)
    saved = "cache/generator/*/work/checkpoint-*.safetensors"
    (first,) = until(lambda: list(tmp_path.glob(saved)), process)
    until(lambda: any(path.name != first.name for path in tmp_path.glob(saved)), process)
    process.send_signal(number)
    assert ended(process, code)[-1] == f"{label}; run the same command again to resume"
    (last,) = tmp_path.glob(saved)
    assert int(last.name.split("-")[1]) > int(first.name.split("-")[1])
    assert not list((tmp_path / "cache/drafts").iterdir())


@pytest.mark.slow
def test_worker_command_leaves_a_run_nothing(tmp_path: Path) -> None:
    alone(tmp_path / "first")
    spec, cache = str(tmp_path / "first/run/spec.toml"), str(tmp_path / "cache")
    words = ["worker", spec, "--cache-dir", cache, "--device", "cpu"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    alone(tmp_path)
    assert set(outcomes_of(tmp_path / "run")) == {"cached"}
    assert comparable(tmp_path / "run") == comparable(tmp_path / "first/run")


def test_default_run_trains_here_and_leaves_the_rest_to_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = comparable(alone(tmp_path / "alone", **CHOICES))
    monkeypatch.delenv("GVR_BENCH_WORKERS")
    monkeypatch.setattr(worker_count, "cores", lambda: 2)
    monkeypatch.setattr(runner, "MIN_STAGES", 3)
    left: list[set[str]] = []

    def watching(workers: Workers, state: RunState, display: Display) -> None:
        left.append({s.kind for s in state.plan.stages if s.key not in state.outcomes})
        watch(workers, state, display)

    monkeypatch.setattr(runner, "watch", watching)
    home = tmp_path / "default"
    done = CliRunner().invoke(app, typed(home, **CHOICES), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert left == [{"cases", "prediction", "explanations", "scores"}]
    assert comparable(home / "run") == reference


def test_networks_that_only_scores_need_are_left_to_workers(
    registry: Registry, tmp_path: Path
) -> None:
    plan = plan_of(registry, {"metrics": ["oracle", "realism"]}, explainer="gvr")
    first = runner.trainings(plan, ArtifactCache(tmp_path))
    assert {stage.kind for stage in plan.stages if stage.key in first} == {
        "data", "generator", "encoder", "latents", "head"
    }  # fmt: skip
    assert {"oracle", "class_autoencoders"} <= {stage.kind for stage in plan.stages}


def test_nothing_is_trained_first_where_all_networks_come_along(tmp_path: Path) -> None:
    plan = make_plan(build_spec(None, {}, {"dataset": ["phantom"]}), installed())
    assert any(stage.kind == "generator" for stage in plan.stages)
    assert not runner.trainings(plan, ArtifactCache(tmp_path))


@pytest.mark.parametrize(
    ("machine", "variable", "count", "expected"),
    [
        (1, "", 0, (1, 1)),
        (2, "", 0, (2, 1)),
        (16, "", 0, (8, 2)),
        (16, "4", 0, (4, 4)),
        (16, "32", 0, (0, 32)),
        (16, "", 3, (3, 5)),
    ],
)
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    machine: int, variable: str, count: int, expected: tuple[int, int],
) -> None:  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(worker_count, "cores", lambda: machine)
    assert worker_count.workers_and_threads(count) == expected


def test_a_containers_quota_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr(worker_count, "QUOTA", tmp_path / "cpu.max")
    assert worker_count.cores() == 12
    for text, expected in (("max 100000", 12), ("350000 100000", 3), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(f"{text}\n")
        assert worker_count.cores() == expected


def test_number_of_workers_is_checked(cli) -> None:
    assert cli(*command("--workers", "none")).fault.endswith("write auto or a number from 1 on")


@pytest.fixture
def plan(registry: Registry) -> Plan:
    return plan_of(registry)


def fault_of(plan: Plan, opened: ArtifactCache, /, **changed: Any) -> str:
    """Why a worker refuses a request."""
    request = make_request(plan, opened, RunOptions(torch.device("cpu")))
    request = request.model_copy(update=changed)
    return WorkerReply.model_validate_json(work(request.model_dump_json())).error


def test_unusable_node_is_named(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ArtifactCache(tmp_path)
    monkeypatch.setattr("platform.node", lambda: "n7")
    assert fault_of(plan, cache, cache="/nowhere").startswith("node n7 does not see the cache /now")
    with make_request(plan, cache, RunOptions(torch.device("cpu"))).marked():
        assert fault_of(plan, cache, plan="0" * 64).startswith("node n7 plans other stages")
        other = dict.fromkeys(requests.versions(), "9.9")
        line = "the run has gvr-bench 9.9, python 9.9, torch 9.9: install the same"
        assert fault_of(plan, cache, versions=other).endswith(line)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def worker_of(bank: Bank, stage: Stage, run_id: str) -> Worker:
    """A worker of a run of one stage."""
    cache = ArtifactCache(bank.root, run_id=run_id)
    state = RunState(Plan(None, (), (stage,), None), cache, pytest.fail)  # type: ignore[arg-type]
    options = RunOptions(torch.device("cpu"))
    stop = requests.Stop()
    return Worker(state, options, stop, Display(Console(quiet=True), 1))


def test_failure_counts_for_its_run_only(bank: Bank) -> None:
    class Unreadable(Squares):
        def split(self, name: str) -> Any:
            raise DataError("no such file")

    stage = bank.stage("data", component=Unreadable(BINARY))
    with pytest.raises(DataError):
        worker_of(bank, stage, "a").work()
    with pytest.raises(GvrError, match="no such file"):
        worker_of(bank, stage, "a").state.update()
    worker_of(bank, stage, "b").state.update()


def test_stage_that_kills_workers_fails(bank: Bank) -> None:
    stage = bank.stage("data", component=Squares(BINARY))
    dead = [ArtifactCache(bank.root, run_id="a") for _ in range(3)]
    for cache in dead:
        work = cache.write_dir(stage) / "work"
        work.mkdir(parents=True, exist_ok=True)
        (work / f"attempt-a-{cache.writer}").touch()
    worker, other = worker_of(bank, stage, "a"), worker_of(bank, stage, "b")
    worker.work()
    outcome = worker.state.outcomes[stage.key]
    assert (outcome.status, outcome.reason) == ("failed", "it lost 3 workers; was memory short?")
    other.work()
    assert other.state.outcomes[stage.key].status == "done"


def test_workers_share_what_is_invalid(bank: Bank) -> None:
    stage = bank.stage("data", component=Squares(BINARY))
    worker_of(bank, stage, "a").work()
    ArtifactCache(bank.root, run_id="b").invalidate(stage)
    assert ArtifactCache(bank.root, run_id="a").has(stage)
    assert not ArtifactCache(bank.root, run_id="b").has(stage)
    worker_of(bank, stage, "b").work()
    assert ArtifactCache(bank.root, run_id="b").has(stage)
