"""Which executor computes the stages of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.errors import UsageError
from gvr_bench.sharing import are_several

if TYPE_CHECKING:
    from gvr_bench.executors.how import How
    from gvr_bench.executors.local import Executor
    from gvr_bench.stages import Plan
    from gvr_bench.stopping import Stop
    from gvr_bench.storage.store import Store


def executor_of(
    name: str, address: str | None, plan: Plan, store: Store, how: How, stop: Stop
) -> Executor | None:
    """Return the executor that was chosen, or None for this process. Raises `UsageError`."""
    if name == "local":
        if address is not None:
            raise UsageError("--address is that of a Ray cluster; add --executor ray")
        return None
    if are_several():
        raise UsageError("--executor ray starts its own processes; leave torchrun out")
    from gvr_bench.executors.ray_executor import RayExecutor

    return RayExecutor(plan, store, how, address, stop)
