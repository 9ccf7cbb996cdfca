"""How many workers a run starts by default, and how many threads each has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor time in a period, or max
MAX_WORKERS = 8  # by default: each takes about 1 GB of memory


def workers_and_threads(count: int) -> tuple[int, int]:
    """Return how many workers to start, by default where `count` is 0, and the threads of each."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(text) if text.isdigit() else 0
    count = count or min(MAX_WORKERS, cores() // (threads or 1))
    return count, threads or max(1, cores() // max(1, count))


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no quota
        quota, period = map(int, QUOTA.read_text().split())
        count = min(count, max(1, quota // period))
    return count
