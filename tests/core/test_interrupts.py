"""Ctrl-C and SIGTERM: what is stopped says how to go on, and a training goes on where it was."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import command, outcomes_of

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.hdf5 import put_array, read_arrays, writing_arrays
from gvr_bench.core.interrupts import Stop, Stopped, uninterrupted

STEPS = 9
GOES_ON = "; run the same command again to resume"


def raise_in_a_step(folder: Path, at: int, times: int = 1) -> list[int]:
    """Loop with signals in one step; return the steps that ended."""
    stop, ended = Stop(), []
    with stop.listening():
        ctx = gvr.Context(torch.device("cpu"), checkpoints=FileCheckpoints(folder, 1e6, stop=stop))

        def train() -> None:
            for step in ctx.loop(STEPS, {}):
                for _ in range(times if step == at else 0):
                    signal.raise_signal(signal.SIGINT)
                ended.append(step)
            stop.check()

        with pytest.raises(Stopped):
            train()
    return ended


@pytest.mark.parametrize("at", [0, 4, STEPS - 2])
def test_signal_waits_and_saves_the_step(tmp_path: Path, at: int) -> None:
    assert raise_in_a_step(tmp_path, at) == list(range(at + 1))
    assert FileCheckpoints(tmp_path, 1e6).load()[0] == at + 1


def test_second_signal_does_not_wait(tmp_path: Path) -> None:
    assert raise_in_a_step(tmp_path, 4, times=2) == [0, 1, 2, 3]
    assert FileCheckpoints(tmp_path, 1e6).load() is None


def test_signal_in_last_step_completes_training(tmp_path: Path) -> None:
    assert raise_in_a_step(tmp_path, STEPS - 1) == list(range(STEPS))


def test_signal_outside_training_stops_immediately() -> None:
    stop = Stop()
    with stop.listening(), pytest.raises(Stopped) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert (caught.value.code, str(caught.value)) == (143, "terminated")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_waits_for_the_block(number: int) -> None:
    steps = []

    def work() -> None:
        with uninterrupted():
            with uninterrupted():
                os.kill(os.getpid(), number)
                steps.append("inner")
            steps.append("outer")
        steps.append("after")

    with Stop().listening(), pytest.raises(Stopped) as stopped:
        work()
    assert (steps, stopped.value.number) == (["inner", "outer"], number)


def write_two(path: Path) -> None:
    """Write two arrays, and be interrupted between them."""
    with writing_arrays(path) as file:
        put_array(file, "first", np.arange(3))
        os.kill(os.getpid(), signal.SIGINT)
        put_array(file, "second", np.arange(4))


def test_signal_leaves_arrays_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"

    def work() -> None:
        with uninterrupted():
            write_two(path)

    with Stop().listening(), pytest.raises(Stopped):
        work()
    assert {name: len(array) for name, array in read_arrays(path).items()} == {
        "first": 3,
        "second": 4,
    }


def test_signal_between_arrays_leaves_nothing(tmp_path: Path) -> None:
    with Stop().listening(), pytest.raises(Stopped):
        write_two(tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with Stop().listening():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert before == (
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook,
    )  # fmt: skip


def test_swallowed_stop_is_raised_later(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    stop = Stop()
    with stop.listening():
        Dying()
        with pytest.raises(Stopped):
            stop.check()
    assert capfd.readouterr().err == ""


class Terminal:
    """A run on a terminal; `wait` returns the exit code and all that was shown."""

    def __init__(self, cache: Path, *more: str, generator: str) -> None:
        typed = command("--cache-dir", str(cache), *more, generator=generator, metrics=["truth"])
        self.main, side = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gvr_bench", *typed],
            stdin=side, stdout=side, stderr=side, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(side)
        self.shown = b""

    def read(self) -> bool:
        """Take in what is shown; false at the end."""
        try:
            part = os.read(self.main, 65536)
        except OSError:  # the other side is closed
            part = b""
        self.shown += part
        return bool(part)

    def until(self, text: str) -> None:
        """Wait until something is shown."""
        while text.encode() not in self.shown:
            assert self.read(), self.shown.decode()

    def wait(self) -> tuple[int, list[str]]:
        while self.read():
            pass
        os.close(self.main)
        return self.process.wait(60), self.shown.decode().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_stopped_run_resumes_at_its_step(
    tmp_path: Path, number: int, code: int, cause: str
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "run"
    training = "wgan-gp:iterations=150,width=4,batch=8"
    terminal = Terminal(cache, "--out", str(out), "--checkpoint-every", "1e6", generator=training)
    terminal.until("epoch 1")
    terminal.process.send_signal(number)
    ended, lines = terminal.wait()
    assert ended == code
    assert sum(line.endswith(GOES_ON) for line in lines) == 1
    assert lines[-1].endswith(cause + GOES_ON)
    assert "Traceback" not in "".join(lines)
    assert terminal.shown.rfind(b"\x1b[?25h") > terminal.shown.rfind(b"\x1b[?25l"), "no cursor"
    (saved,) = cache.glob("generator/*/work/checkpoint-*.safetensors")
    step = int(saved.name.split("-")[1])
    assert step > 1

    again = Terminal(cache, "--out", str(out), generator=training)
    code, lines = again.wait()
    assert code == 0
    first = re.search(r"(\d+)/150", "".join(lines))
    assert first
    assert int(first[1]) >= step
    assert "generator wgan-gp" in outcomes_of(out)["done"]


@pytest.mark.slow
def test_second_ctrl_c_stops_immediately(tmp_path: Path) -> None:
    training = "wgan-gp:iterations=150,width=4,batch=8"
    terminal = Terminal(tmp_path / "cache", "--out", str(tmp_path / "run"), generator=training)
    terminal.until("epoch 1")
    for _ in range(2):
        terminal.process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    code, lines = terminal.wait()
    assert code in (130, -signal.SIGINT)
    assert "Traceback" not in "".join(lines)
