"""How far files are, in bytes: a bar in a terminal, a line now and then elsewhere. On stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

EVERY = 10.0  # seconds between plain lines


class Lines:
    """Plain lines, for logs: each file when it begins, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.what = ""
        self.first = 0
        self.began = self.last = 0.0

    def show(self, what: str, done: int, total: int) -> None:
        """Print where things stand, at most every few seconds."""
        now = time.monotonic()
        if what != self.what:
            self.what, self.first, self.began, self.last = what, done, now, now
            self.say(f"{what}  {decimal(total)}")
        elif now - self.last >= EVERY:
            self.last = now
            speed = (done - self.first) / (now - self.began)
            left = f"  ETA {(total - done) / speed:.0f} s" if speed else ""
            self.say(f"{what}  {decimal(done)} of {decimal(total)}  {decimal(int(speed))}/s{left}")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


class Bars:
    """One bar, for the file that is at hand."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.what = ""
        self.task: TaskID | None = None

    def show(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        if what != self.what or self.task is None:
            if self.task is not None:
                self.progress.remove_task(self.task)
            self.what = what
            self.task = self.progress.add_task(escape(what), total=total, completed=done)
        self.progress.update(self.task, completed=done)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, soft_wrap=True, markup=False, highlight=False)


@contextlib.contextmanager
def watching(console: Console) -> Iterator[Lines | Bars]:
    """Show files while they are downloaded, checked and unpacked."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("ETA", style="dim"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        yield Bars(progress)
