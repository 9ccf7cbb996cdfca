"""What a worker of a cluster is told and what it answers: JSON, for no object travels."""

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


class Order(pydantic.BaseModel):
    """What a worker needs to plan the same run and compute one stage of it.

    `spec` is TOML, `folder` where relative paths begin. `key` is the stage's, or empty where the worker is only tried; `rows` are the
    cases of the part that is to be kept, empty for the whole stage. `forgotten` says that what is
    stored of the stage does not count.
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
    forgotten: bool = False
    token: str = ""


class Answer(pydantic.BaseModel):
    """What came of an order: an outcome, or why there is none.

    `fault` is the text of an error of the class `error`; of a damaged value `key` and `place` say
    whose it is and where it lies.
    """

    node: str
    status: Literal["", "done", "cached", "failed", "skipped", "n/a"] = ""
    seconds: float = 0.0
    reason: str = ""
    not_here: bool = False
    error: str = ""
    fault: str = ""
    key: str = ""
    place: str = ""

    @property
    def whole(self) -> bool:
        """Whether what was asked for is in the cache."""
        return not self.error and self.outcome.succeeded

    @property
    def outcome(self) -> Outcome:
        """The outcome of a stage that was brought to an end."""
        assert self.status
        return Outcome(self.status, self.seconds, self.reason, self.not_here)


def carry_out(text: str) -> str:
    """Compute the stage of an `Order`, or try the worker, and return an `Answer`."""
    order, node, stop = Order.model_validate_json(text), platform.node(), Stop()
    try:
        with stop.listening():
            answer = answered(order, node, stop)
    except KeyboardInterrupt:
        answer = Answer(node=node, error="Stopped")
    except CorruptStageError as found:
        place, key = str(found.folder), found.stage.key
        answer = Answer(node=node, error="DamageError", fault=found.fault, key=key, place=place)
    except GvrError as error:
        answer = Answer(node=node, error=type(error).__name__, fault=str(error))
    return answer.model_dump_json()


def answered(order: Order, node: str, stop: Stop) -> Answer:
    """Carry out an order. Raises `GvrError`."""
    fault = differs(order)
    if fault:
        return Answer(node=node, error="Misfit", fault=fault)
    if not order.key:
        return Answer(node=node)
    cache = opened(order.cache)
    stage = stages(order.spec)[order.key]
    cache.invalidated = {stage.key} if order.forgotten else set()
    how = RunOptions(torch.device(order.device), order.batch_size, order.checkpoint_seconds)
    worker, display = Worker(cache, how, stop), Display(Console(quiet=True), 0)
    if order.rows:
        outcome = worker.compute_part(stage, slice(*order.rows), display)
    else:
        outcome = worker.compute(stage, display)
    return Answer(node=node, **asdict(outcome))


def differs(order: Order) -> str:
    """Say what keeps this worker from computing the same as who sent the order."""
    if versions() != order.versions:
        return f"has {told(versions())}; the run has {told(order.versions)}: install the same"
    if order.token and not (Path(order.cache) / order.token).is_file():
        return (
            f"does not see the cache {order.cache}; choose a folder that all nodes share "
            "with --cache-dir DIR"
        )
    with contextlib.suppress(OSError):  # where it is missing, only relative paths are
        os.chdir(order.folder)
    if planned(order.spec).key != order.plan:
        return (
            "plans other stages from the same spec; its plugins or its data are not those of "
            f"the run (here {told(versions())})"
        )
    return ""


def told(known: dict[str, str]) -> str:
    """Write versions in one line."""
    return ", ".join(f"{name.replace('_', '-')} {version}" for name, version in known.items())


@functools.lru_cache(maxsize=4)
def planned(spec: str) -> Plan:
    """Plan a spec, once per process. Raises `GvrError`."""
    table = check_table("the spec", tomllib.loads(spec))
    return make_plan(spec_of_table(table, {}), installed())


@functools.lru_cache(maxsize=4)
def stages(spec: str) -> dict[str, Stage]:
    """Return the stages of a spec by key."""
    return {stage.key: stage for stage in planned(spec).stages}


@functools.lru_cache(maxsize=4)
def opened(root: str) -> ArtifactCache:
    """Open a cache, once per process, for it knows which files were checked."""
    return ArtifactCache(Path(root))
