"""Which executor computes the stages of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.core.data_parallel import are_several
from gvr_bench.core.errors import UsageError

if TYPE_CHECKING:
    from gvr_bench.cache.artifacts import ArtifactCache
    from gvr_bench.core.interrupts import Stop
    from gvr_bench.pipeline.executors.local import Executor
    from gvr_bench.pipeline.options import RunOptions
    from gvr_bench.pipeline.plan import Plan


def executor_of(
    name: str, address: str | None, plan: Plan, cache: ArtifactCache, how: RunOptions, stop: Stop
) -> Executor | None:
    """Return the executor that was chosen, or None for this process. Raises `UsageError`."""
    if name == "local":
        if address is not None:
            raise UsageError("--ray-address is that of a Ray cluster; add --executor ray")
        return None
    if are_several():
        raise UsageError("--executor ray starts its own processes; leave torchrun out")
    from gvr_bench.pipeline.executors.ray import RayExecutor

    return RayExecutor(plan, cache, how, address, stop)
