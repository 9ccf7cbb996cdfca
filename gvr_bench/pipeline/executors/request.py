"""What a worker gets from `gvr-bench run`, and its reply; both are JSON, and nothing is pickled.

`python -m gvr_bench.pipeline.executors.request` reads a request from stdin, works until the run is
complete or stdin is closed, and prints the reply.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pydantic
import torch
from rich.console import Console

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import check_table, spec_of_table, write_spec
from gvr_bench.core.errors import GvrError, UsageError
from gvr_bench.core.interrupts import Stop
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.run_state import RunState
from gvr_bench.pipeline.worker import Worker
from gvr_bench.registry.registry import installed


class WorkerRequest(pydantic.BaseModel):
    """What a worker needs to take part in a run.

    `spec` is TOML, `plan` the key of what it plans; `folder` is where relative paths begin.
    """

    run_id: str
    spec: str
    plan: str
    folder: str
    cache: str
    device: str
    batch_size: int
    checkpoint_seconds: float
    versions: dict[str, str]

    @property
    def mark(self) -> Path:
        """A file that a worker sees where it shares the cache."""
        return Path(self.cache) / f".run-{self.run_id}"

    @contextlib.contextmanager
    def marked(self) -> Iterator[None]:
        """Have the mark in the cache."""
        self.mark.touch()
        try:
            yield
        finally:
            self.mark.unlink(missing_ok=True)


class WorkerReply(pydantic.BaseModel):
    """How a worker ended: by an `error` that ends the run, by a signal, or with all work done."""

    error: str = ""
    stopped: bool = False
    warnings: list[str] = []


def make_request(plan: Plan, cache: ArtifactCache, options: RunOptions) -> WorkerRequest:
    """Return the request to all workers of a run."""
    return WorkerRequest(
        run_id=cache.run_id,
        spec=write_spec(plan.spec),
        plan=plan.key,
        folder=str(Path.cwd()),
        cache=str(cache.root.resolve()),
        device=options.device.type,
        batch_size=options.batch_size,
        checkpoint_seconds=options.checkpoint_seconds,
        versions=versions(),
    )


def work(text: str) -> str:
    """Work as a `WorkerRequest` says until the run is complete; return a `WorkerReply`."""
    request, reply, stop = WorkerRequest.model_validate_json(text), WorkerReply(), Stop()
    try:
        with stop.listening():
            take_part(request, reply, stop)
    except KeyboardInterrupt:
        reply.stopped = True
    except GvrError as error:
        reply.error = str(error)
    return reply.model_dump_json()


def take_part(request: WorkerRequest, reply: WorkerReply, stop: Stop) -> None:
    """Work on a run. Raises `GvrError`, and `UsageError` where this machine would not fit in."""
    node = f"node {platform.node()}"
    if versions() != request.versions:
        raise UsageError(
            f"{node} has {describe(versions())}; the run has {describe(request.versions)}: "
            "install the same"
        )
    if not request.mark.is_file():
        raise UsageError(
            f"{node} does not see the cache {request.cache}; choose a folder that all nodes share "
            "with --cache-dir DIR"
        )
    with contextlib.suppress(OSError):  # without the folder, only relative paths fail
        os.chdir(request.folder)
    table = check_table("the spec", tomllib.loads(request.spec))
    plan = make_plan(spec_of_table(table, {}), installed())
    if plan.key != request.plan:
        raise UsageError(
            f"{node} plans other stages from the same spec; its plugins or its data are not those "
            "of the run"
        )
    cache = ArtifactCache(Path(request.cache), run_id=request.run_id)
    device = torch.device(request.device)
    options = RunOptions(device, request.batch_size, request.checkpoint_seconds)
    state = RunState(plan, cache, reply.warnings.append)
    Worker(state, options, stop, Display(Console(quiet=True))).work()


def describe(known: dict[str, str]) -> str:
    """Write versions in one line."""
    return ", ".join(f"{name.replace('_', '-')} {version}" for name, version in known.items())


def stop_with_parent() -> None:
    """Stop this process when the one that started it closes stdin or ends."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    line = sys.stdin.readline()
    threading.Thread(target=stop_with_parent, daemon=True).start()
    print(f"\n{work(line)}", flush=True)  # noqa: T201 - the reply
