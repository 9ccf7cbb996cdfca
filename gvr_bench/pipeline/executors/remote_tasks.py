"""What a worker of a cluster computes. Requests and replies are JSON: no object is pickled."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pydantic
import torch
from rich.console import Console

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import check_table, spec_of_table
from gvr_bench.core.errors import CorruptStageError, GvrError
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Plan, make_plan
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.worker import Worker
from gvr_bench.registry.registry import installed

STOPPED, MISMATCH = "Stopped", "Mismatch"


class TaskRequest(pydantic.BaseModel):
    """What a worker needs to plan the same run and compute one stage of it.

    `spec` is TOML, `folder` where relative paths begin. `key` is the stage's, empty to try the
    worker only; `rows` are the cases of a part, empty for all of the stage. `invalidated` says that
    its stored value does not count.
    """

    spec: str
    plan: str
    folder: str
    cache: str
    device: str
    batch_size: int
    checkpoint_seconds: float
    versions: dict[str, str]
    key: str = ""
    rows: tuple[int, ...] = ()
    invalidated: bool = False
    token: str = ""


class TaskReply(pydantic.BaseModel):
    """An outcome, or why there is none.

    `fault` is the text of an error of the class `error`; for a damaged stage, `key` and `place` are
    its key and folder.
    """

    node: str
    status: Literal["", "done", "cached", "failed", "skipped", "n/a"] = ""
    seconds: float = 0.0
    reason: str = ""
    not_applicable: bool = False
    error: str = ""
    fault: str = ""
    key: str = ""
    place: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the stage or part is in the cache."""
        return not self.error and self.outcome.succeeded

    @property
    def outcome(self) -> Outcome:
        """The outcome of a stage that ended."""
        assert self.status
        return Outcome(self.status, self.seconds, self.reason, self.not_applicable)


def run_task(text: str) -> str:
    """Compute the stage of a `TaskRequest`, or try the worker, and return a `TaskReply`."""
    request, node, stop = TaskRequest.model_validate_json(text), platform.node(), Stop()
    try:
        with stop.listening():
            reply = compute_task(request, node, stop)
    except KeyboardInterrupt:
        reply = TaskReply(node=node, error=STOPPED)
    except CorruptStageError as error:
        reply = TaskReply(
            node=node,
            error=CorruptStageError.__name__,
            fault=error.fault,
            key=error.stage.key,
            place=str(error.folder),
        )
    except GvrError as error:
        reply = TaskReply(node=node, error=type(error).__name__, fault=str(error))
    return reply.model_dump_json()


def compute_task(request: TaskRequest, node: str, stop: Stop) -> TaskReply:
    """Compute what is requested. Raises `GvrError`."""
    fault = mismatch(request)
    if fault:
        return TaskReply(node=node, error=MISMATCH, fault=fault)
    if not request.key:
        return TaskReply(node=node)
    cache = open_cache(request.cache)
    stage = stages_of(request.spec)[request.key]
    cache.invalidated = {stage.key} if request.invalidated else set()
    options = RunOptions(
        torch.device(request.device), request.batch_size, request.checkpoint_seconds
    )
    worker, display = Worker(cache, options, stop), Display(Console(quiet=True), 0)
    if request.rows:
        outcome = worker.compute_part(stage, slice(*request.rows), display)
    else:
        outcome = worker.compute(stage, display)
    return TaskReply(node=node, **asdict(outcome))


def mismatch(request: TaskRequest) -> str:
    """Return why this worker would not compute the same as the run; empty if it would."""
    here = describe_versions(versions())
    if versions() != request.versions:
        return f"has {here}; the run has {describe_versions(request.versions)}: install the same"
    if request.token and not (Path(request.cache) / request.token).is_file():
        return (
            f"does not see the cache {request.cache}; choose a folder that all nodes share "
            "with --cache-dir DIR"
        )
    with contextlib.suppress(OSError):  # without the folder, only relative paths fail
        os.chdir(request.folder)
    if plan_of(request.spec).key != request.plan:
        return (
            "plans other stages from the same spec; its plugins or its data are not those of "
            f"the run (here {here})"
        )
    return ""


def describe_versions(known: dict[str, str]) -> str:
    """Write versions in one line."""
    return ", ".join(f"{name.replace('_', '-')} {version}" for name, version in known.items())


@functools.lru_cache(maxsize=4)
def plan_of(spec: str) -> Plan:
    """Plan a spec, once per process. Raises `GvrError`."""
    table = check_table("the spec", tomllib.loads(spec))
    return make_plan(spec_of_table(table, {}), installed())


@functools.lru_cache(maxsize=4)
def stages_of(spec: str) -> dict[str, Stage]:
    """Return the stages of a spec by key."""
    return {stage.key: stage for stage in plan_of(spec).stages}


@functools.lru_cache(maxsize=4)
def open_cache(root: str) -> ArtifactCache:
    """Open a cache, once per process, for it knows which files were checked."""
    return ArtifactCache(Path(root))
