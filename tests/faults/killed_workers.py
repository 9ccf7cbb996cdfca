"""Workers of one run are killed, as processes of this machine or on a Ray cluster of two nodes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness import SPEC, Command, Lab, Outcome, drafts, written

LOST = "warning: a worker was lost; its work goes on in another"
KILLS = 5  # per run; ten in a row without a finished stage would end it
MOST_OF_A_STAGE = 2
LONGEST_PAUSE = 1.5  # seconds into a stage
OBJECTS = 80 * 2**20  # bytes, the least that Ray takes


def kill_local_workers(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Kill workers of a run with two processes."""
    kill_workers(lab, outcome, rng, "--workers", "2")


def kill_ray_workers(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Kill workers of a run on two nodes of Ray, one CPU each."""
    if importlib.util.find_spec("ray") is None:
        outcome.impossible = "ray is not installed: gvr-bench[ray]"
        return
    with ray_cluster() as address:
        kill_workers(lab, outcome, rng, "--executor", "ray", "--ray-address", address)


@contextlib.contextmanager
def ray_cluster() -> Iterator[str]:
    """Start two nodes on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - else its workers starve
    size = {"num_cpus": 1, "object_store_memory": OBJECTS}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        cluster.add_node(**size)
        yield cluster.address
    finally:
        cluster.shutdown()


def kill_workers(lab: Lab, outcome: Outcome, rng: random.Random, *options: str) -> None:
    """Kill a worker in the midst of a random stage, several times, and let the run end."""
    lab = lab.named("few", [word if word != "all" else "truth" for word in SPEC])
    cache, out = lab.new_folder("cache"), lab.new_folder("run")
    command = lab.start(cache, out, "--checkpoint-every", "0.5", *options)
    before: dict[str, int] = {}
    killed: Counter[str] = Counter()  # workers by the stage that they were at
    dead: set[int] = set()  # processes, whose drafts stay until another takes them
    while killed.total() < KILLS:
        wanted = len(before) + rng.randrange(4)  # stages that end before the next is killed
        if not command.wait_for(partial(further, cache, wanted)):
            break
        time.sleep(rng.uniform(0, LONGEST_PAUSE))
        before = {**written(cache), **before}
        killed.update(kill_one(command, cache, killed, dead, rng))
    kills = killed.total()
    outcome.injections += kills
    outcome.runs += 1
    outcome.expect_success(command)
    outcome.count_lost(cache, before)
    warned = command.lines.count(LOST)
    outcome.expect(warned == kills, f"{kills} killed, {warned} warnings")
    outcome.different += lab.differences(cache, out)


def further(cache: Path, count: int) -> bool:
    """Whether so many stages are complete, and a worker is at another."""
    return len(written(cache)) >= count and bool(drafts(cache))


def kill_one(
    command: Command, cache: Path, killed: Counter[str], dead: set[int], rng: random.Random
) -> list[str]:
    """Kill a process that writes a stage, unless it is the run itself or has just ended.

    Returns the key of the stage. One that has lost two workers is spared: with a third it fails.
    """
    writers = [name.split("-")[0::2][:2] for name in sorted(drafts(cache))]
    for key, name in rng.sample(writers, len(writers)):
        process = int(name)
        if killed[key] < MOST_OF_A_STAGE and process not in {command.process.pid, *dead}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                dead.add(process)
                return [key]
    return []
