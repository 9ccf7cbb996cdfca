"""Stages, and parts of those that work on cases, as tasks of a Ray cluster, side by side as far as
its nodes allow.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import torch
from rich.console import Console
from rich.status import Status

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.config.spec import write_spec
from gvr_bench.core import errors
from gvr_bench.core.errors import CorruptStageError, UsageError, one_line
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.executors.ray_cluster import connected, refuse_missing, silence
from gvr_bench.pipeline.executors.remote_tasks import Answer, Order, carry_out
from gvr_bench.pipeline.executors.shards import Piece, pieces
from gvr_bench.pipeline.options import RunOptions, versions
from gvr_bench.pipeline.plan import Plan
from gvr_bench.pipeline.progress import EVERY, Display
from gvr_bench.pipeline.steps import STEPS

LOST = 3  # workers that one task may lose
GRACE = 60.0  # seconds for trainings to keep a checkpoint
TRIAL = 300.0  # seconds for a node to start a worker and plan
POLL = 1.0  # seconds between two looks at what has ended
ASK = 5.0  # seconds between two questions to the head node
SILENCES = 3  # questions without an answer after which it counts as gone


class RayExecutor:
    """Computes each stage in a worker of a Ray cluster, with the same code.

    Parts of a stage are computed before it, each kept in the cache, where the stage finds them.

    Connects when the first stage is to be computed. Where the context ends early, what runs is
    cancelled.
    """

    def __init__(
        self, plan: Plan, cache: ArtifactCache, how: RunOptions, address: str | None, stop: Stop
    ) -> None:
        refuse_missing()
        self.plan = plan
        self.cache = cache
        self.how = how
        self.address = address
        self.stop = stop
        self.running: dict[str, Stage] = {}
        self.tasks: dict[Any, Piece] = {}  # by the reference of what they return
        self.lost: Counter[Piece] = Counter()
        self.held = contextlib.ExitStack()
        self.ray: Any = None
        self.line = Line()
        self.asked = time.monotonic()  # when the head node was last asked
        self.silences = 0  # how often in a row it did not answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        """Cancel what runs, let trainings keep a checkpoint, and leave the cluster.

        Raises `Stopped` where a signal came.
        """
        tasks = list(self.tasks)
        self.tasks.clear()
        self.running.clear()
        with self.held:
            self.line.end()
            for task in tasks:
                self.ray.cancel(task)
            if tasks:
                self.ray.wait(tasks, num_returns=len(tasks), timeout=GRACE)
        self.ray = None
        self.stop.check()  # Ray tells of any signal as if it were Ctrl-C

    @property
    def free(self) -> bool:
        """Always: the cluster keeps a queue."""
        return True

    def start(self, stage: Stage) -> None:
        """Send a stage to the cluster. Raises `UsageError`."""
        if self.ray is None:
            self.connect()
        self.running[stage.key] = stage
        for piece in pieces(stage, self.cache, self.how.batch_size):
            self.send(piece)

    def send(self, piece: Piece) -> None:
        """Make a task of a stage or a part of it."""
        order = self.order.model_copy(update=piece.told(self.cache))
        # Ray's own retries would start a task that ran out of memory again without an end.
        options = {"max_retries": 0, "name": str(piece), "scheduling_strategy": "SPREAD"}
        remote = self.ray.remote(carry_out).options(
            **options, **resources_of(piece.stage.kind, self.how.device.type, self.cpus)
        )
        self.tasks[remote.remote(order.model_dump_json())] = piece

    def next(self, display: Display) -> tuple[Stage, Outcome]:
        """Wait for a stage to end. Raises what its worker raised, and `UsageError`."""
        while True:
            task = self.ended(display)
            piece = self.tasks.pop(task)
            answer = self.answer(task, piece, display)
            if answer is None:
                self.send(piece)
            elif not piece.rows or not answer.whole:
                break
            elif not self.others(piece.stage):
                self.send(Piece(piece.stage))
        stage = piece.stage
        for other in self.others(stage):
            del self.tasks[other]
            self.ray.cancel(other)
        del self.running[stage.key]
        if answer.error:
            self.pass_on(answer)
        self.cache.invalidated.discard(stage.key)
        return stage, answer.outcome

    def others(self, stage: Stage) -> list[Any]:
        """Return the tasks of a stage."""
        return [task for task, piece in self.tasks.items() if piece.stage is stage]

    def ended(self, display: Display) -> Any:
        """Return the first task that has ended, showing what has not."""
        while True:
            done, _ = self.ray.wait(list(self.tasks), timeout=POLL)
            self.stop.check()
            if done:
                return done[0]
            self.line.show(display.console, list(self.tasks.values()))
            self.listen()

    def answer(self, task: Any, piece: Piece, display: Display) -> Answer | None:
        """Return what a worker answered; None where it was lost, and another shall try."""
        lost = self.ray.exceptions
        try:
            answer = Answer.model_validate_json(self.ray.get(task))
            if answer.error != "Stopped":
                return answer
            how = "it was stopped"
        except lost.OutOfMemoryError:
            return failed(
                "its node ran out of memory; use one with more, or a smaller --batch-size"
            )
        except lost.RayTaskError as error:
            raise UsageError(
                f"{piece}: a worker of the cluster: {one_line(error.cause)}"
            ) from error
        except lost.RayError as error:
            how = type(error).__name__
        self.lost[piece] += 1
        if self.lost[piece] == LOST:
            return failed(f"it lost {LOST} workers ({how}); was memory short?")
        display.warn(f"{piece}: its worker was lost; it goes on in another")
        return None

    def pass_on(self, answer: Answer) -> NoReturn:
        """Raise here what a worker could not mend."""
        if answer.error == "DamageError":
            stage = next(stage for stage in self.plan.stages if stage.key == answer.key)
            raise CorruptStageError(stage, Path(answer.place), answer.fault)
        if answer.error == "Misfit":
            raise UsageError(f"node {answer.node} {answer.fault}")
        raise getattr(errors, answer.error)(answer.fault)

    def listen(self) -> None:
        """Notice that the head node is gone, which Ray ends the process for after a minute."""
        if time.monotonic() - self.asked < ASK:
            return
        self.asked = time.monotonic()
        self.silences = self.silences + 1 if silence(self.head) else 0
        if self.silences < SILENCES:
            return
        self.tasks.clear()
        raise UsageError(
            f"the head node of the cluster at {self.head} is gone; what is computed is stored, "
            "and the same command goes on from here"
        )

    def connect(self) -> None:
        """Connect to the cluster, and make sure that its nodes can take part."""
        cpus = len(os.sched_getaffinity(0))
        self.ray = self.held.enter_context(connected(self.address, cpus))
        self.head = self.ray.get_runtime_context().gcs_address
        self.order = Order(
            spec=write_spec(self.plan.spec),
            plan=self.plan.key,
            folder=str(Path.cwd()),
            cache=str(self.cache.root.resolve()),
            device=self.how.device.type,
            batch_size=self.how.batch_size,
            checkpoint_seconds=self.how.checkpoint_seconds,
            versions=versions(),
        )
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        largest = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
        self.cpus = max(1, min(torch.get_num_threads(), largest))
        if self.how.device.type != "cpu" and not any(n["Resources"].get("GPU") for n in nodes):
            raise UsageError("no node of the cluster has a GPU; use --device cpu")
        self.try_nodes(nodes)

    def try_nodes(self, nodes: list[Mapping[str, Any]]) -> None:
        """Try a worker on each node that has CPUs. Raises `UsageError` for one that is no use."""
        token = self.cache.root / f".cluster-{secrets.token_hex(8)}"
        with self.cache.writing():
            token.touch()
        order = self.order.model_copy(update={"token": token.name}).model_dump_json()
        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        remote = self.ray.remote(carry_out)
        try:
            tasks = [
                remote.options(
                    num_cpus=0, max_retries=0, scheduling_strategy=affinity(n["NodeID"], soft=False)
                ).remote(order)
                for n in nodes
                if n["Resources"].get("CPU")
            ]
            answers = [
                Answer.model_validate_json(text) for text in self.ray.get(tasks, timeout=TRIAL)
            ]
        except self.ray.exceptions.RayTaskError as error:
            raise UsageError(
                f"a worker of the cluster cannot start: {one_line(error.cause)}; install the "
                "same gvr-bench on all nodes"
            ) from error
        except self.ray.exceptions.RayError as error:
            raise UsageError(f"a node of the cluster does not answer: {one_line(error)}") from error
        finally:
            token.unlink(missing_ok=True)
        for answer in answers:
            if answer.error:
                fault = answer.fault if answer.error == "Misfit" else f"cannot plan: {answer.fault}"
                raise UsageError(f"node {answer.node} {fault}")


def resources_of(kind: StageKind, device: str, cpus: int) -> dict[str, float]:
    """Return the processors and GPUs that a stage of a kind reserves, as Ray calls them."""
    gpu = STEPS[kind].gpu
    return {"num_cpus": cpus if gpu else 1, "num_gpus": 0 if device == "cpu" else gpu}


def failed(reason: str) -> Answer:
    """Answer in place of a worker that cannot."""
    return Answer(node="", status="failed", reason=reason)


class Line:
    """What a cluster is at: a line that changes in a terminal, now and then one elsewhere."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.last = time.monotonic()

    def show(self, console: Console, running: Sequence[Piece]) -> None:
        """Show what was sent and has not ended."""
        first = ", ".join(map(str, running[:3]))
        more = f" and {len(running) - 3} more" if len(running) > 3 else ""
        text = f"in hand: {first}{more}"
        if console.is_terminal:
            if self.status is None:
                self.status = console.status("", spinner="dots")
                self.status.start()
            self.status.update(text)
        elif time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Take the line away."""
        if self.status:
            self.status.stop()
            self.status = None
