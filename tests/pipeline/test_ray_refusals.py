"""`--executor ray` where there is no Ray, no cluster, or none that could carry out the run."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest
from tiny import command
from typer.testing import CliRunner

from gvr_bench.cli.main import app

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


def test_missing_ray_says_how_to_install(tmp_path: Path, without_ray) -> None:
    line = fault(tmp_path, "--executor", "ray")
    assert line == "error: --executor ray needs ray: pip install 'gvr-bench[ray]'"


def test_address_without_executor_is_refused(tmp_path: Path) -> None:
    assert fault(tmp_path, "--ray-address", "auto").endswith("; add --executor ray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [("--executor=ray", "--executor ray needs ray: "), ("--ray-address=auto", "; add")],
)
def test_an_experiment_heeds_the_same_options(
    tmp_path: Path, without_ray, arguments: str, message: str
) -> None:
    where = ["--cache-dir", f"{tmp_path}/cache", "--out", f"{tmp_path}/run"]
    assert message in line_of(["experiments", "run", "labels", *where, arguments])


def test_torchrun_and_ray_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gvr_bench.pipeline.run.are_several", lambda: True)
    assert fault(tmp_path, "--executor", "ray").endswith("leave torchrun out")


@needs_ray
@pytest.mark.parametrize("address", ["head", "ray://head:10001", ":6379", "head:port"])
def test_malformed_address_is_refused(tmp_path: Path, address: str) -> None:
    line = fault(tmp_path, "--executor", "ray", "--ray-address", address)
    assert address in line


@needs_ray
def test_silent_address_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = fault(tmp_path, "--executor", "ray", "--ray-address", f"127.0.0.1:{port}")
    assert line.startswith(f"error: no cluster answers at 127.0.0.1:{port}: ")
    assert line.endswith(f"ray start --head --port {port}")


@needs_ray
def test_other_server_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gvr_bench.pipeline.executors.ray_cluster.PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        line = fault(tmp_path, "--executor", "ray", "--ray-address", address)
    assert line == f"error: what answers at {address} is no Ray cluster that can be used"
