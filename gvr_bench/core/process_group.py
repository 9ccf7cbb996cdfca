"""The processes that torchrun started for one run.

The first carries out the run as if it were alone. The others wait until it announces a training
that is data-parallel, take part in it, and write nothing. When one process ends, torchrun ends all.
Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from gvr_bench.core.errors import ProcessError, UsageError
from gvr_bench.core.interrupts import Stop, Stopped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PATIENCE = datetime.timedelta(days=30)  # processes wait while the first computes other stages
GRACE = datetime.timedelta(seconds=3)  # for the first process to report the same error
REPORTED = "reported"  # the key that counts processes with a line to print as they end


def are_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def follows() -> bool:
    """Whether torchrun started this process and it is not the first of several."""
    return are_several() and os.environ["RANK"] != "0"


class ProcessGroup:
    """The processes of a run; this one is number `rank` of `count`, from 0."""

    def __init__(self) -> None:
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        self.dist = dist
        try:
            self.store, self.rank, self.count = next(rendezvous("env://"))
        except (RuntimeError, ValueError) as error:
            raise UsageError(
                f"cannot reach the other processes: {' '.join(str(error).split())}; "
                "start them with torchrun"
            ) from error
        self.stop = Stop()
        self.stopping = 0  # the signal that one of the processes received
        self.lost = False  # whether another process has ended

    def connect(self, device: torch.device, stop: Stop) -> None:
        """Connect the processes, each with a GPU of its own. Raises `UsageError`."""
        import torch

        self.stop = stop
        if device.type == "cuda":
            index, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if index >= count:
                raise UsageError(
                    f"each process needs a GPU of its own, and this machine has {count}; "
                    f"start {count} with --nproc-per-node {count}, or use --device cpu"
                )
            torch.cuda.set_device(index)
        with self.collective():
            self.dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=self.store,
                rank=self.rank,
                world_size=self.count,
                timeout=PATIENCE,
            )

    @contextlib.contextmanager
    def collective(self) -> Iterator[None]:
        """Turn a lost connection into a `ProcessError`; wraps nothing but calls of torch."""
        try:
            yield
        except RuntimeError as error:  # gloo raises no narrower type, NCCL a DistBackendError
            self.lost = True
            raise ProcessError(
                "another process of this run has ended; run the same command again to resume"
            ) from error

    def announce(self, key: str) -> str:
        """Call the other processes to the training of a stage; an empty key ends their work.

        The others wait in this call, whatever they pass, and return the key.
        """
        import torch

        keys = [key]
        with self.collective():
            self.dist.broadcast_object_list(keys, device=torch.device("cpu"))
        return keys[0]

    def follow(self, trainings: Mapping[str, Callable[[], object]]) -> None:
        """Take part in trainings, by the keys of their stages, until the run has ended."""
        while key := self.announce(""):
            self.stop.check()
            if key not in trainings:
                raise UsageError("it plans another run; type the same command on every machine")
            trainings[key]()
        self.stop.check()

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes. Raises `ProcessError`."""
        total = values.contiguous().clone()
        with self.collective():
            self.dist.all_reduce(total)
        return total

    def agree(self, step: int) -> bool:
        """Wait for the others at a step; whether it is the last because one got a signal.

        Raises `Stopped` after that, and `ProcessError` where they are at different steps.
        """
        import torch

        if self.stopping:
            raise Stopped(self.stopping)
        largest = torch.tensor([step, -step, self.stop.number])
        with self.collective():
            self.dist.all_reduce(largest, self.dist.ReduceOp.MAX)
        last, first, self.stopping = (int(value) for value in largest * torch.tensor([1, -1, 1]))
        if first != last:
            raise ProcessError(
                f"processes are at steps {first} and {last} of the same training; "
                "all must read the same cache"
            )
        return bool(self.stopping)

    def reports(self) -> bool:
        """Whether this process prints why the run ends: one does, the first if it can."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to the others meanwhile
        with contextlib.suppress(self.dist.DistError):  # torchrun itself may have ended
            if self.rank and not self.lost:
                with contextlib.suppress(self.dist.DistError):
                    self.store.wait([REPORTED], GRACE)
            return bool(self.store.add(REPORTED, 1) == 1)
        return True


@functools.cache
def process_group() -> ProcessGroup:
    """Return the processes that torchrun started, of which this is one. Raises `UsageError`."""
    return ProcessGroup()
