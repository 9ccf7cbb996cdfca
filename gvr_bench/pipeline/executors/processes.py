"""Workers that are processes of this machine, each with a GPU or a number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Self

import pydantic
import torch

from gvr_bench.core.errors import GvrError
from gvr_bench.pipeline.executors.request import WorkerReply, WorkerRequest

COMMAND = (sys.executable, "-m", "gvr_bench.pipeline.executors.request")
GRACE = 60.0  # seconds for trainings to save a checkpoint
PAUSE = 0.05  # seconds between two looks at what has ended


@dataclass
class WorkerProcess:
    """A process and the file of what it prints."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def reply(self) -> WorkerReply | None:
        """Return the reply of a process that has ended, None where a signal has ended it."""
        self.output.seek(0)
        last = (self.output.read().splitlines() or [b""])[-1].decode(errors="replace")
        try:
            return WorkerReply.model_validate_json(last)
        except pydantic.ValidationError as error:
            code = self.process.returncode
            if code < 0:
                return None
            raise GvrError(f"a worker ended with exit code {code}: {last}") from error


class WorkerProcesses:
    """Workers that are processes of this machine."""

    def __init__(self, request: WorkerRequest, count: int, threads: int) -> None:
        self.request = request
        self.text = f"{request.model_dump_json()}\n".encode()
        self.count = count
        self.threads = threads
        self.gpus = visible_gpus() if request.device == "cuda" else []
        self.running: dict[int, WorkerProcess] = {}

    def __enter__(self) -> Self:
        for number in range(self.count):
            self.start(number)
        return self

    def __exit__(self, *why: object) -> None:
        for worker in self.running.values():
            assert worker.process.stdin
            worker.process.stdin.close()
        for worker in self.running.values():
            try:
                worker.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self.running.clear()

    def start(self, number: int) -> None:
        """Start a process, out of reach of Ctrl-C: it stops when its stdin is closed."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            COMMAND, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self.running[number] = WorkerProcess(process, output)
        assert process.stdin
        process.stdin.write(self.text)
        process.stdin.flush()

    def ended(self, seconds: float) -> Iterator[tuple[int, WorkerReply | None]]:
        """Wait for processes to end, and yield them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = [n for n, worker in self.running.items() if worker.process.poll() is not None]
            for number in done:
                yield number, self.running.pop(number).reply()
            if done:
                return
            time.sleep(PAUSE)


def visible_gpus() -> list[str]:
    """Return how each GPU of this process is named to another one."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",") if names else [str(i) for i in range(torch.cuda.device_count())]
