"""Ctrl-C and a request to end, turned into a stop at a moment when little is lost."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(KeyboardInterrupt):
    """The user or the system asked to stop, by a signal of that number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def code(self) -> int:
        """The exit code that shells expect."""
        return 128 + self.number

    def __str__(self) -> str:
        return NAMES.get(signal.Signals(self.number), "stopped")


class Stop:
    """Raises `Stopped` when a signal comes: in the block `later()` at its end, elsewhere at once.

    A second signal raises it at once in either case, and a third ends the process.
    """

    def __init__(self) -> None:
        self.asked = 0  # the signal that came
        self.waits = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.asked = 0
        before = {number: signal.signal(number, self.ask) for number in NAMES}
        hook, sys.unraisablehook = sys.unraisablehook, self.swallowed
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)

    def swallowed(self, what: sys.UnraisableHookArgs) -> None:
        """Say nothing where the interpreter could not pass `Stopped` on; `check` raises it."""
        if not isinstance(what.exc_value, Stopped):
            sys.__unraisablehook__(what)

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        again = bool(self.asked)
        self.asked = number
        if again:
            signal.signal(number, signal.SIG_DFL)
        if again or not self.waits:
            raise Stopped(number)

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """Let a signal wait; whoever opens the block calls `check` when it may stop."""
        before, self.waits = self.waits, True
        try:
            yield
        finally:
            self.waits = before

    def check(self) -> None:
        """Stop if a signal came. Raises `Stopped`."""
        if self.asked:
            raise Stopped(self.asked)
