"""`--executor ray` where there is no Ray, no cluster, or none that could carry out the run."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest
from tiny import command, plan_of
from typer.testing import CliRunner

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cli.main import app
from gvr_bench.core.errors import UsageError
from gvr_bench.pipeline.estimates import Estimate
from gvr_bench.pipeline.executors import resources as requests
from gvr_bench.pipeline.executors.resources import (
    GIBI,
    Request,
    memory_of,
    refuse_too_much,
    request_of,
)
from gvr_bench.registry.registry import installed

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: gvr-bench[ray]"
)


def fault(folder: Path, *more: str) -> str:
    """The one line that a run ends with."""
    return line_of(command("--cache-dir", f"{folder}/cache", "--out", f"{folder}/run", *more))


def line_of(typed: list[str]) -> str:
    """The one line that a command ends with."""
    done = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "ray" else find(name, *a)
    )


def test_without_ray_the_line_says_how_to_install_it(tmp_path: Path, without_ray) -> None:
    line = fault(tmp_path, "--executor", "ray")
    assert line == "error: --executor ray needs ray: pip install 'gvr-bench[ray]'"


def test_an_address_without_the_executor_is_refused(tmp_path: Path) -> None:
    assert fault(tmp_path, "--ray-address", "auto").endswith("; add --executor ray")


@pytest.mark.parametrize(
    ("given", "told"),
    [("--executor=ray", "--executor ray needs ray: "), ("--ray-address=auto", "; add")],
)
def test_an_experiment_heeds_the_same_options(
    tmp_path: Path, without_ray, given: str, told: str
) -> None:
    where = ["--cache-dir", f"{tmp_path}/cache", "--out", f"{tmp_path}/run"]
    assert told in line_of(["experiments", "run", "labels", *where, given])


def test_torchrun_and_ray_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gvr_bench.pipeline.executors.factory.are_several", lambda: True)
    assert fault(tmp_path, "--executor", "ray").endswith("leave torchrun out")


@needs_ray
@pytest.mark.parametrize("address", ["head", "ray://head:10001", ":6379", "head:port"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    line = fault(tmp_path, "--executor", "ray", "--ray-address", address)
    assert address in line


@needs_ray
def test_an_address_where_nothing_listens_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = fault(tmp_path, "--executor", "ray", "--ray-address", f"127.0.0.1:{port}")
    assert line.startswith(f"error: no cluster answers at 127.0.0.1:{port}: ")
    assert line.endswith(f"ray start --head --port {port}")


@needs_ray
def test_something_else_that_listens_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gvr_bench.pipeline.executors.ray_cluster.PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        line = fault(tmp_path, "--executor", "ray", "--ray-address", address)
    assert line == f"error: what answers at {address} is no Ray cluster that can be used"


def node(**resources: float) -> dict[str, Any]:
    return {"Resources": {"memory": 8 * GIBI, **resources}}


def test_more_threads_than_any_node_has_are_refused_with_the_number_to_set() -> None:
    with pytest.raises(UsageError, match="largest node of the cluster has 4 CPUs; set OMP_NUM_TH"):
        refuse_too_much([Request(8, 0)], [node(CPU=4), node(CPU=2)])


def test_a_gpu_that_no_node_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no node of the cluster has a GPU; use --device cpu"):
        refuse_too_much([Request(1, 1)], [node(CPU=4)])


def test_resources_on_different_nodes_do_not_add_up() -> None:
    with pytest.raises(UsageError, match="together"):
        refuse_too_much([Request(4, 1)], [node(CPU=4), node(CPU=2, GPU=1)])
    refuse_too_much([Request(2, 1)], [node(CPU=4), node(CPU=2, GPU=1)])


def test_networks_get_the_threads_of_a_run_in_one_process_and_a_gpu_where_there_is_one() -> None:
    assert request_of("data", "cuda", 8) == Request(1, 0)
    assert request_of("generator", "cpu", 8) == Request(8, 0)
    assert request_of("generator", "cuda", 8) == Request(8, 1)
    assert request_of("explanations", "cuda", 8) == Request(8, 1)
    assert 0 < request_of("scores", "cuda", 8).gpus < 1


def test_a_stage_asks_for_the_memory_that_it_is_expected_to_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, cache = plan_of(installed()), ArtifactCache(tmp_path)
    first, second, third, *rest = plan.stages
    told = {first.key: 3.5 * GIBI, second.key: 99.0 * GIBI, third.key: None}
    monkeypatch.setattr(
        requests,
        "estimate",
        lambda *_: [Estimate(s, False, memory=told.get(s.key, 5.0)) for s in plan.stages],
    )
    asked = memory_of(plan, cache, "cpu", 8 * GIBI)
    assert asked[first.key] == 3.5 * GIBI
    assert asked[second.key] == 8 * GIBI
    assert third.key not in asked
    assert {asked[stage.key] for stage in rest} == {GIBI}
    assert memory_of(plan, cache, "cuda", 8 * GIBI) == {}
    assert request_of("head", "cpu", 1, asked[first.key]).options["memory"] == 3.5 * GIBI
