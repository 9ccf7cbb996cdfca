"""Computes stages, and parts of those that work on cases, side by side on a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import torch

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import write_spec
from gvr_bench.core import errors
from gvr_bench.core.errors import CacheError, CorruptStageError, UsageError, one_line
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.executors.ray_cluster import connected, connection_fault, refuse_missing
from gvr_bench.pipeline.executors.remote_tasks import (
    MISMATCH,
    STOPPED,
    TaskReply,
    TaskRequest,
    run_task,
)
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.progress import Display
from gvr_bench.pipeline.steps import STEPS
from gvr_bench.pipeline.steps.shards import count_cases, cut

MAX_LOST = 3  # workers that one task may lose
GRACE = 60.0  # seconds for trainings to save a checkpoint
TRIAL = 300.0  # seconds for a node to start a worker and plan
POLL = 1.0  # seconds between two looks at what has ended
PING = 5.0  # seconds between two questions to the head node
MAX_SILENCES = 3  # unanswered questions after which the head node counts as gone


@dataclass(frozen=True)
class Task:
    """A stage, or the part of it that `rows` of its cases are."""

    stage: Stage
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.rows:
            return str(self.stage)
        first, end = self.rows
        return f"{self.stage}, cases {first + 1} to {end}"


def split_stage(stage: Stage, cache: ArtifactCache, batch_size: int) -> list[Task]:
    """Return the parts of a stage, or the stage if it has less than two."""
    parts: list[slice] = []
    if STEPS[stage.kind].sharded:
        with contextlib.suppress(CacheError):  # computing the stage will report it
            parts = cut(slice(0, count_cases(cache, stage)), batch_size)
    if len(parts) < 2:
        return [Task(stage)]
    return [Task(stage, (rows.start, rows.stop)) for rows in parts]


def resources_of(kind: StageKind, device: str, cpus: int) -> dict[str, float]:
    """Return the processors and GPUs that a stage of a kind reserves, as Ray calls them."""
    gpu = STEPS[kind].gpu
    return {"num_cpus": cpus if gpu else 1, "num_gpus": 0 if device == "cpu" else gpu}


class RayExecutor:
    """Computes each stage in a worker of a Ray cluster.

    Parts of a stage are computed before it and stored in the cache, where the stage reads them.
    Connects when the first stage starts; on exit, what still runs is cancelled.
    """

    def __init__(
        self, plan: Plan, cache: ArtifactCache, options: RunOptions, address: str | None, stop: Stop
    ) -> None:
        refuse_missing()
        self.plan = plan
        self.cache = cache
        self.options = options
        self.address = address
        self.stop = stop
        self.running: dict[str, Stage] = {}
        self.tasks: dict[Any, Task] = {}  # by Ray's reference to the reply
        self.lost: Counter[Task] = Counter()
        self.context = contextlib.ExitStack()
        self.ray: Any = None
        self.pinged = time.monotonic()
        self.silences = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        """Cancel what runs, let trainings save a checkpoint, and leave the cluster.

        Raises `Stopped` if a signal came.
        """
        tasks = list(self.tasks)
        self.tasks.clear()
        self.running.clear()
        with self.context:
            for task in tasks:
                self.ray.cancel(task)
            if tasks:
                self.ray.wait(tasks, num_returns=len(tasks), timeout=GRACE)
        self.ray = None
        self.stop.check()  # Ray reports any signal as Ctrl-C

    @property
    def free(self) -> bool:
        """Always true: the cluster has a queue."""
        return True

    def start(self, stage: Stage) -> None:
        """Send a stage to the cluster. Raises `UsageError`."""
        if self.ray is None:
            self.connect()
        self.running[stage.key] = stage
        for task in split_stage(stage, self.cache, self.options.batch_size):
            self.send(task)

    def send(self, task: Task) -> None:
        """Send a stage, or a part of it."""
        key = task.stage.key
        request = self.request.model_copy(
            update={"key": key, "rows": task.rows, "invalidated": key in self.cache.invalidated}
        )
        # Ray's own retries would restart a task that runs out of memory without end.
        options = {"max_retries": 0, "name": str(task), "scheduling_strategy": "SPREAD"}
        resources = resources_of(task.stage.kind, self.options.device.type, self.cpus)
        remote = self.ray.remote(run_task).options(**options, **resources)
        self.tasks[remote.remote(request.model_dump_json())] = task

    def next(self, display: Display) -> tuple[Stage, Outcome]:
        """Wait for a stage to end. Raises what its worker raised, and `UsageError`."""
        while True:
            reference = self.wait(display)
            task = self.tasks.pop(reference)
            reply = self.reply(reference, task, display)
            if reply is None:
                self.send(task)
            elif not task.rows or not reply.succeeded:
                break
            elif not self.references(task.stage):
                self.send(Task(task.stage))
        stage = task.stage
        for other in self.references(stage):
            del self.tasks[other]
            self.ray.cancel(other)
        del self.running[stage.key]
        if reply.error:
            self.reraise(reply)
        self.cache.invalidated.discard(stage.key)
        return stage, reply.outcome

    def references(self, stage: Stage) -> list[Any]:
        """Return Ray's references to the tasks of a stage."""
        return [reference for reference, task in self.tasks.items() if task.stage is stage]

    def wait(self, display: Display) -> Any:
        """Return the reference of the first task that has ended, showing the others."""
        with display.stage("") as progress:
            while True:
                done, _ = self.ray.wait(list(self.tasks), timeout=POLL)
                self.stop.check()
                if done:
                    return done[0]
                names = [str(task) for task in self.tasks.values()]
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                progress(display.number, display.total, f"running {'; '.join(names[:3])}{more}")
                self.ping()

    def reply(self, reference: Any, task: Task, display: Display) -> TaskReply | None:
        """Return a worker's reply; None if it was lost and another one shall try."""
        exceptions = self.ray.exceptions
        try:
            reply = TaskReply.model_validate_json(self.ray.get(reference))
            if reply.error != STOPPED:
                return reply
            reason = "it was stopped"
        except exceptions.OutOfMemoryError:
            return failure("its node ran out of memory; use a larger one or a smaller --batch-size")
        except exceptions.RayTaskError as error:
            raise UsageError(f"{task}: a worker of the cluster: {one_line(error.cause)}") from error
        except exceptions.RayError as error:
            reason = type(error).__name__
        self.lost[task] += 1
        if self.lost[task] == MAX_LOST:
            return failure(f"it lost {MAX_LOST} workers ({reason}); was memory short?")
        display.warn(f"{task}: its worker was lost; it goes on in another")
        return None

    def reraise(self, reply: TaskReply) -> NoReturn:
        """Raise here what ended a worker's task."""
        if reply.error == CorruptStageError.__name__:
            stage = next(stage for stage in self.plan.stages if stage.key == reply.key)
            raise CorruptStageError(stage, Path(reply.place), reply.fault)
        if reply.error == MISMATCH:
            raise UsageError(f"node {reply.node} {reply.fault}")
        raise getattr(errors, reply.error)(reply.fault)

    def ping(self) -> None:
        """Notice that the head node is gone, before Ray ends this process for it."""
        if time.monotonic() - self.pinged < PING:
            return
        self.pinged = time.monotonic()
        self.silences = self.silences + 1 if connection_fault(self.head) else 0
        if self.silences < MAX_SILENCES:
            return
        self.tasks.clear()
        raise UsageError(
            f"the head node of the cluster at {self.head} is gone; "
            "computed stages are stored, run the same command again to resume"
        )

    def connect(self) -> None:
        """Connect to the cluster, and check that its nodes can take part."""
        self.ray = self.context.enter_context(connected(self.address, len(os.sched_getaffinity(0))))
        self.head = self.ray.get_runtime_context().gcs_address
        self.request = TaskRequest(
            spec=write_spec(self.plan.spec),
            plan=self.plan.key,
            folder=str(Path.cwd()),
            cache=str(self.cache.root.resolve()),
            device=self.options.device.type,
            batch_size=self.options.batch_size,
            checkpoint_seconds=self.options.checkpoint_seconds,
            versions=versions(),
        )
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        largest = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
        self.cpus = max(1, min(torch.get_num_threads(), largest))
        if self.options.device.type != "cpu" and not any(n["Resources"].get("GPU") for n in nodes):
            raise UsageError("no node of the cluster has a GPU; use --device cpu")
        token = self.cache.root / f".cluster-{secrets.token_hex(8)}"
        with self.cache.writing():
            token.touch()
        try:
            self.try_nodes(nodes, self.request.model_copy(update={"token": token.name}))
        finally:
            token.unlink(missing_ok=True)

    def try_nodes(self, nodes: list[Mapping[str, Any]], request: TaskRequest) -> None:
        """Try a worker on each node that has CPUs. Raises `UsageError` for an unusable one."""
        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        remote, exceptions = self.ray.remote(run_task), self.ray.exceptions
        options = {"num_cpus": 0, "max_retries": 0}
        try:
            references = [
                remote.options(
                    **options, scheduling_strategy=affinity(node["NodeID"], soft=False)
                ).remote(request.model_dump_json())
                for node in nodes
                if node["Resources"].get("CPU")
            ]
            texts = self.ray.get(references, timeout=TRIAL)
        except exceptions.RayTaskError as error:
            raise UsageError(
                f"a worker of the cluster cannot start: {one_line(error.cause)}; install the "
                "same gvr-bench on all nodes"
            ) from error
        except exceptions.RayError as error:
            raise UsageError(f"a node of the cluster does not answer: {one_line(error)}") from error
        for reply in map(TaskReply.model_validate_json, texts):
            if reply.error:
                fault = reply.fault if reply.error == MISMATCH else f"cannot plan: {reply.fault}"
                raise UsageError(f"node {reply.node} {fault}")


def failure(reason: str) -> TaskReply:
    """Reply in place of a worker that cannot."""
    return TaskReply(node="", status="failed", reason=reason)
