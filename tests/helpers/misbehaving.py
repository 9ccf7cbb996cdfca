"""The command, in which something happens to a process at a step of the generator's training.

`HAPPENS` says what, `TO` to which process (`all` for all of them) and `AT` at which step. Numbers
are those of single precision everywhere.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import gvr_bench.api as gvr
import gvr_bench.pipeline.worker
from gvr_bench.cli.main import main

gvr_bench.pipeline.worker.gains_from_bfloat16 = lambda device: False
loop = gvr.Context.loop


def happens() -> None:
    """Do what the environment asks for."""
    what = os.environ["HAPPENS"]
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    elif what == "terminate torchrun":
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(1)
    elif what == "bug":
        raise RuntimeError("a bug")


def looping(self: gvr.Context, total: int, state: Any, **more: Any) -> Iterator[int]:
    """Let it happen."""
    for step in loop(self, total, state, **more):
        rank = os.environ.get("RANK", "0")
        if str(step) == os.environ.get("AT") and os.environ["TO"] in (rank, "all"):
            happens()
        yield step


gvr.Context.loop = looping  # type: ignore[method-assign]
main()
