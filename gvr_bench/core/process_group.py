"""Several processes that train together, started by torchrun.

The first carries out the run as if it were alone. The others wait until it calls them to a training
that is shared, take their part in it, and write nothing. What they say to each other goes through
torchrun's key-value store, which can be asked for hours without running into a time limit:

```
order/3      the key of the stage that is trained together as the third; empty: the run has ended
here/3/1     process 1 takes part in it
ended/3/1    process 1 has come to its end
done/3       the first process has left it, one way or another
fault        why a process other than the first ended
said         how many have printed why
```

Gradients go through a group of gloo or NCCL that lives as long as one training: whoever leaves it
early closes it, which ends what the others wait for.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from gvr_bench.core.errors import GvrError, ProcessError, UsageError, one_line
from gvr_bench.core.interrupts import Stop, Stopped

LIMIT = datetime.timedelta(minutes=30)  # that one step of another process may take
PATIENCE = 10.0  # seconds for the first process to meet the same error
TURN = 3.0  # seconds for another process to say why it ended
PAUSE = 0.05  # seconds between two questions to the store
GONE = "another process of this run is gone; the same command goes on from here"


class ProcessGroup:
    """The processes of a run; this one is number `rank` of `count`, from 0."""

    def __init__(self, store: Store, rank: int, count: int, stop: Stop | None = None) -> None:
        self.store = store
        self.rank = rank
        self.count = count
        self.stop = stop or Stop()
        self.device = torch.device("cpu")
        self.number = 0  # of trainings that were shared so far
        self.stopping = 0  # the signal that one of the processes got

    def settle(self, device: torch.device) -> None:
        """Take this process's GPU. Raises `UsageError` where there is none for it."""
        self.device = device
        if device.type != "cuda":
            return
        place, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= there:
            raise UsageError(
                f"each process needs a GPU of its own, and this machine has {there}; "
                f"start {there} with --nproc-per-node {there}, or use --device cpu"
            )
        torch.cuda.set_device(place)

    def dismiss(self) -> None:
        """Let the others leave, at the end of the run."""
        with contextlib.suppress(RuntimeError):  # torchrun itself may be gone
            self.store.set(f"order/{self.number + 1}", "")

    def follow(self, trainings: Mapping[str, Callable[[], object]]) -> None:
        """Take part in trainings, by the keys of their stages, until the run has ended.

        Raises `ProcessError`, and what a training raises in this process alone.
        """
        while key := self.order():
            if key not in trainings:
                raise UsageError("it plans another run; type the same command on every machine")
            with self.training(key):
                trainings[key]()

    def order(self) -> str:
        """Wait for the key of the next training; empty where the run has ended."""
        name = f"order/{self.number + 1}"
        with self.asking():
            while not self.store.check([name]):
                self.stop.check()
                time.sleep(PAUSE)
            return self.told(name)

    @contextlib.contextmanager
    def training(self, key: str) -> Iterator[None]:
        """Train the stage of that key together with the others.

        An error that the first process meets as well, or knows of, is not another's to raise.
        """
        self.number += 1
        number, leads = self.number, self.rank == 0
        if leads:
            self.tell(f"order/{number}", key)
        try:
            self.meet(f"here/{number}")
            self.open(number)
            yield
            self.meet(f"ended/{number}")
        except Exception as error:
            known = isinstance(error, ProcessError)
            if leads:
                raise
            if not self.comes(f"done/{number}", TURN if known else PATIENCE):
                if isinstance(error, GvrError):
                    raise
                raise ProcessError(one_line(error)) from error
        finally:
            if leads:
                with contextlib.suppress(ProcessError):
                    self.tell(f"done/{number}", "")
            self.close()

    def meet(self, name: str) -> None:
        """Wait until all have come here. Raises `ProcessError` where one will not."""
        self.tell(f"{name}/{self.rank}", "")
        names = [f"{name}/{rank}" for rank in range(self.count)]
        done = f"done/{self.number}"
        with self.asking():
            while True:
                over = self.store.check(["fault"]) or self.store.check([done])
                if self.store.check(names):
                    return
                if over:
                    raise self.lost()
                self.stop.check()
                time.sleep(PAUSE)

    def open(self, number: int) -> None:
        """Connect the processes for one training."""
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        with self.asking():
            dist.init_process_group(
                backend,
                store=PrefixStore(f"group/{number}", self.store),
                rank=self.rank,
                world_size=self.count,
                timeout=LIMIT,
            )

    def close(self) -> None:
        """Leave the group; what others wait for in it ends."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes; can be differentiated. Raises `ProcessError`."""
        summed: Tensor = Total.apply(values, self)
        return summed

    def agree(self, step: int) -> bool:
        """Wait for the others at a step, and say whether it is the last for one was asked to stop.

        Raises `Stopped` after that, and `ProcessError` where they are at different steps.
        """
        if self.stopping:
            raise Stopped(self.stopping)
        most = torch.tensor([step, -step, self.stop.number])
        with self.asking():
            dist.all_reduce(most, dist.ReduceOp.MAX)
        last, first, self.stopping = (int(value) for value in most * torch.tensor([1, -1, 1]))
        if first != last:
            raise ProcessError(
                f"processes are at steps {first} and {last} of the same training; "
                "all must read the same store"
            )
        return bool(self.stopping)

    def tell(self, name: str, text: str) -> None:
        """Let the others know. Raises `ProcessError`."""
        with self.asking():
            self.store.set(name, text)

    def told(self, name: str) -> str:
        """Return what another process let know."""
        return str(self.store.get(name), "utf-8")

    def comes(self, name: str, seconds: float) -> bool:
        """Whether a key is told within a time."""
        until = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < until:
                if self.store.check([name]):
                    return True
                time.sleep(PAUSE)
        return False

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Turn a connection that ends into a `ProcessError`."""
        try:
            yield
        except RuntimeError as error:  # what torch raises for any of its connections
            raise self.lost() from error

    def lost(self) -> ProcessError:
        """Say why another process is gone, if it says so in time."""
        with self.stop.later():
            return ProcessError(self.told("fault") if self.comes("fault", TURN) else GONE)

    def line(self, line: str, stopped: bool) -> str:
        """Return what this process has to print as it ends: why, or nothing if another does."""
        with contextlib.suppress(RuntimeError):
            if self.rank and stopped:
                self.comes("said", TURN)
            elif self.rank:
                line = f"error: rank {self.rank} of {self.count}: {line.removeprefix('error: ')}"
                self.store.set("fault", line.removeprefix("error: "))
                self.comes("said", TURN)
            elif stopped and self.store.check(["fault"]):
                line = f"error: {self.told('fault')}"
            if self.store.add("said", 1) > 1:
                return ""
        return line


class Total(torch.autograd.Function):
    """The sum over processes; each one's gradient is the sum of all of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, process_group: ProcessGroup) -> Tensor:
        """Sum a copy."""
        ctx.process_group = process_group
        summed = values.clone(memory_format=torch.contiguous_format)
        with process_group.asking():
            dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Sum the gradients."""
        return ctx.process_group.total(gradient), None


@functools.cache
def process_group() -> ProcessGroup:
    """Return the processes that torchrun started, of which this is one. Raises `UsageError`."""
    try:
        store, rank, count = next(rendezvous("env://"))
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"cannot reach the other processes: {' '.join(str(error).split())}; "
            "start them with torchrun"
        ) from error
    return ProcessGroup(store, rank, count)
