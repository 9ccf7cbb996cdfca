"""The connection to a Ray cluster, or to one that is started on this machine for a run."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gvr_bench.core.errors import UsageError, one_line

PATIENCE = 10.0  # seconds for a head node to answer
OBJECTS = 100 * 2**20  # bytes for what tasks return, which is little
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def refuse_missing() -> None:
    """Raise `UsageError` where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--executor ray needs ray: pip install 'gvr-bench[ray]'")


@contextlib.contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Any]:
    """Connect to the cluster at `address`; without one, start one of `cpus` for this run.

    Yields the module `ray`. Raises `UsageError` where no cluster answers.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray = importlib.import_module("ray")
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    settings = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECTS}
    if address and address != "auto":
        refuse_unreachable(address)
    try:
        with sigterm_restored():
            ray.init(address or "local", **quiet, **({} if address else settings))
    except ConnectionError as error:
        where = "on this machine" if address == "auto" else f"at {address}"
        raise UsageError(f"no cluster {where}; start one with: ray start --head") from error
    except Exception as error:  # it raises what its parts raise
        raise UsageError(f"cannot take part in the Ray cluster: {one_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def refuse_unreachable(address: str) -> None:
    """Raise `UsageError` where nothing listens at `host:port`, which Ray would wait for long."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--ray-address {address}: write auto, or the head node as host:port")
    fault = connection_fault(address)
    if fault:
        raise UsageError(
            f"no cluster answers at {address}: {fault}; start one there with: "
            f"ray start --head --port {port}"
        )
    status = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(status, capture_output=True, timeout=2 * PATIENCE, check=True)  # noqa: S603
    except (subprocess.SubprocessError, OSError) as error:
        raise UsageError(f"what answers at {address} is no Ray cluster that can be used") from error


def connection_fault(address: str) -> str:
    """Return why nothing listens at `host:port`; empty if something does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""


@contextlib.contextmanager
def sigterm_restored() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
