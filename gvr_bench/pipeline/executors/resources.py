"""What a stage asks of the node that computes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.core.errors import UsageError
from gvr_bench.core.stage import StageKind
from gvr_bench.pipeline.estimates import estimate
from gvr_bench.pipeline.plan import Plan

GIBI = 2**30
BARE: tuple[StageKind, ...] = ("data", "cases")  # no network computes in them
WHOLE: tuple[StageKind, ...] = (
    "generator", "encoder", "head", "oracle", "class_autoencoders", "explanations", "perturbed_explanations", "student_training_set",
    "student",
)  # fmt: skip
SHARED = 0.25  # of a GPU, for stages that are over in seconds


@dataclass(frozen=True)
class Request:
    """Processors, GPUs and bytes of memory."""

    cpus: int
    gpus: float
    memory: int = GIBI

    @property
    def options(self) -> dict[str, float]:
        """What Ray calls them."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory}

    def fits(self, there: Mapping[str, float]) -> bool:
        """Whether a node has as much."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return all(there.get(name, 0) >= amount for name, amount in wanted.items())


def request_of(kind: StageKind, device: str, threads: int, memory: int = GIBI) -> Request:
    """Return what a stage of a kind asks for; `threads` is what a run in one process uses.

    Networks give other bits with other numbers of threads, so that their stages get as many.
    """
    if kind in BARE:
        return Request(1, 0, memory)
    gpus = 0.0 if device == "cpu" else 1.0 if kind in WHOLE else SHARED
    return Request(threads, gpus, memory)


def memory_of(plan: Plan, cache: ArtifactCache, device: str, most: int) -> dict[str, int]:
    """Return the bytes that stages are expected to need, by key: a GiB at least, `most` at most.

    `most` is what the largest node has. An estimate above it is no reason not to try.
    """
    if device != "cpu":  # it is the GPU's memory that was measured
        return {}
    known = {one.stage.key: one.memory for one in estimate(plan, cache, device) if one.memory}
    return {key: int(min(max(memory, GIBI), most)) for key, memory in known.items()}


def refuse_too_much(requests: Iterable[Request], nodes: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a run for which no node is large enough. Raises `UsageError`."""
    there = [node["Resources"] for node in nodes]
    for request in requests:
        if any(request.fits(resources) for resources in there):
            continue
        if request.gpus and not any(resources.get("GPU") for resources in there):
            raise UsageError("no node of the cluster has a GPU; use --device cpu")
        most = int(max((resources.get("CPU", 0) for resources in there), default=0))
        if most < request.cpus:
            raise UsageError(
                f"a stage uses {request.cpus} threads, as a run on this machine does, and the "
                f"largest node of the cluster has {most} CPUs; set OMP_NUM_THREADS={max(most, 1)}"
            )
        raise UsageError(
            f"no node of the cluster has {request.cpus} CPUs, {request.gpus:g} GPUs and "
            f"{request.memory // GIBI} GiB of memory together, which a stage asks for"
        )
