"""Workers that are tasks on a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from typing import Any, Self

from gvr_bench.core.errors import GvrError, UsageError, one_line
from gvr_bench.core.interrupts import Stop
from gvr_bench.pipeline.executors.ray_cluster import connected, connection_fault, refuse_missing
from gvr_bench.pipeline.executors.request import WorkerReply, WorkerRequest, work

GRACE = 60.0  # seconds for trainings to save a checkpoint
PING = 5.0  # seconds between two questions to the head node
MAX_SILENCES = 3  # unanswered questions after which the head node counts as gone


class RayWorkers:
    """Workers on the cluster at `address`, or on one of this machine that is started for the run.

    `count` is their number, 0 for as many as the cluster has GPUs, or `threads` CPUs.
    """

    def __init__(
        self, request: WorkerRequest, count: int, threads: int, address: str | None, stop: Stop
    ) -> None:
        refuse_missing()
        self.request = request
        self.count = count
        self.threads = threads
        self.address = address
        self.stop = stop
        self.tasks: dict[Any, int] = {}  # by Ray's reference to the reply
        self.context = contextlib.ExitStack()
        self.pinged = time.monotonic()
        self.silences = 0

    def __enter__(self) -> Self:
        cpus = len(os.sched_getaffinity(0))
        self.ray = self.context.enter_context(connected(self.address, cpus))
        try:
            self.start_all()
        except BaseException:
            self.context.close()
            raise
        return self

    def start_all(self) -> None:
        """Start as many workers as there is room for. Raises `UsageError` where there is none."""
        self.head = self.ray.get_runtime_context().gcs_address
        has = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        self.threads = min(self.threads, max(int(node.get("CPU", 0)) for node in has))
        count = sum(int(node.get("CPU", 0)) // self.threads for node in has)
        if self.request.device == "cuda":
            count = sum(int(node.get("GPU", 0)) for node in has)
            if not count:
                raise UsageError("no node of the cluster has a GPU; use --device cpu")
        for number in range(self.count or count):
            self.start(number)

    def __exit__(self, *why: object) -> None:
        """Cancel what runs, let trainings save a checkpoint, and leave the cluster."""
        with self.context:
            for task in self.tasks:
                self.ray.cancel(task)
            if self.tasks:
                self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=GRACE)
            self.tasks.clear()
        self.stop.check()  # Ray reports any signal as Ctrl-C

    @property
    def running(self) -> Collection[int]:
        """The workers that have been started and have not ended."""
        return self.tasks.values()

    def start(self, number: int) -> None:
        """Send a task. Ray does not retry it, for it would without end where memory is short."""
        remote = self.ray.remote(work).options(
            max_retries=0,
            name=f"gvr-bench worker {number}",
            scheduling_strategy="SPREAD",
            num_cpus=self.threads,
            num_gpus=int(self.request.device == "cuda"),
        )
        self.tasks[remote.remote(self.request.model_dump_json())] = number

    def ended(self, seconds: float) -> Iterator[tuple[int, WorkerReply | None]]:
        """Wait for tasks to end, and yield them."""
        done, _ = self.ray.wait(list(self.tasks), timeout=seconds)
        self.stop.check()  # Ray reports any signal as Ctrl-C
        for reference in done:
            yield self.tasks.pop(reference), self.reply(reference)
        if not done:
            self.ping()

    def reply(self, reference: Any) -> WorkerReply | None:
        """Return the reply of a task, None if its worker was lost."""
        try:
            return WorkerReply.model_validate_json(self.ray.get(reference))
        except self.ray.exceptions.RayTaskError as error:
            raise GvrError(
                f"a worker of the cluster: {one_line(error.cause)}; install the same gvr-bench on "
                "all nodes"
            ) from error
        except self.ray.exceptions.RayError:
            return None

    def ping(self) -> None:
        """Notice that the head node is gone, before Ray ends this process for it."""
        if time.monotonic() - self.pinged < PING:
            return
        self.pinged = time.monotonic()
        self.silences = self.silences + 1 if connection_fault(self.head) else 0
        if self.silences == MAX_SILENCES:
            self.tasks.clear()
            raise UsageError(
                f"the head node of the cluster at {self.head} is gone; "
                "computed stages are stored, run the same command again to resume"
            )
