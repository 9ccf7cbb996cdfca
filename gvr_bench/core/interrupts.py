"""Ctrl-C and SIGTERM, turned into a stop at a moment when little is lost."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(KeyboardInterrupt):
    """The user or the system stops this process, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def code(self) -> int:
        """The exit code that shells expect."""
        return 128 + self.number

    def __str__(self) -> str:
        return NAMES.get(signal.Signals(self.number), "stopped")


class Shield:
    """How many blocks `uninterrupted` are entered, and the signal that came in them, or 0."""

    depth = 0
    pending = 0


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a signal to the end of this block, for libraries that an exception inside breaks.

    Raises `Stopped` at the end if one came. Only a main thread is ever interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    Shield.depth += 1
    try:
        yield
    finally:
        Shield.depth -= 1
        if not Shield.depth and Shield.pending:
            number, Shield.pending = Shield.pending, 0
            raise Stopped(number)


class Stop:
    """Raises `Stopped` when a signal comes: at once, or at the end of the block `later()`.

    A second signal raises it at once in either case, and a third ends the process. `number` is
    that of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self.delayed = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals in this block; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.number = 0
        before = {number: signal.signal(number, self._on_signal) for number in NAMES}
        hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """Print nothing where the interpreter swallowed `Stopped`: `check` raises it."""
        if not isinstance(args.exc_value, Stopped):
            sys.__unraisablehook__(args)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = bool(self.number)
        self.number = number
        if again:
            signal.signal(number, signal.SIG_DFL)
        if again or not self.delayed:
            if not Shield.depth:
                raise Stopped(number)
            Shield.pending = number

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """Delay a signal; the block calls `check` where it may stop."""
        before, self.delayed = self.delayed, True
        try:
            yield
        finally:
            self.delayed = before

    def check(self) -> None:
        """Stop if a signal came. Raises `Stopped`."""
        if self.number:
            raise Stopped(self.number)
