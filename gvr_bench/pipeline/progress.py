"""What a command shows on stderr while it works: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

LOG_INTERVAL = 10.0  # seconds between plain lines
FEW = 0.1  # of uneven steps, from which the time that is left cannot be guessed
STYLES = {"done": "[green]done[/]", "cached": "[dim]cached[/]", "failed": "[red]failed[/]"}


class TaskProgress:
    """Progress of one task after the other; a context that is called from their loops.

    Unless steps are `even`, the time that is left is not guessed before a tenth of them is done.
    """

    def __init__(
        self, console: Console, title: str = "", *, in_bytes: bool = False, even: bool = True
    ) -> None:
        self.console = console
        self.in_bytes = in_bytes
        self.even = even
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bars.add_task("", total=None, detail="", left="")
        self.start(title)

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def start(self, title: str) -> None:
        self.title = title
        self.first: int | None = None
        self.began = self.logged = time.monotonic()
        self.bars.reset(self.task, description=escape(title), detail="", left="")

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done  # a resumed loop does not start at 0
        rate = (done - self.first) / (now - self.began) if now > self.began else 0.0
        counts = f"{self.count(done)}/{self.count(total)}"
        speed = f"{self.count(rate, digits=1)}/s" if rate else ""
        text = "  ".join(filter(None, (counts, detail, speed)))
        known = rate and (self.even or done - self.first >= total * FEW)
        left = f"ETA {timedelta(seconds=round((total - done) / rate))}" if known else ""
        self.bars.update(self.task, completed=done, total=total, detail=text, left=left)
        if not self.console.is_terminal and now - self.logged >= LOG_INTERVAL:
            self.logged = now
            self.log("  ".join(filter(None, (self.title, text, left))))

    def update(self, title: str, done: int, total: int) -> None:
        """Show progress of a task that begins with another title; elsewhere each is a line."""
        if title != self.title:
            self.start(title)
            if not self.console.is_terminal:
                self.log(f"{title}  {self.count(total)}")
        self(done, total)

    def count(self, number: float, digits: int = 0) -> str:
        return decimal(int(number)) if self.in_bytes else f"{number:,.{digits}f}"

    def log(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


class Display:
    """The stages of a run: how far one is, and how each ended."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.number = 0  # of stages that ended

    def stage(self, name: str) -> TaskProgress:
        return TaskProgress(
            self.console, f"[{min(self.number + 1, self.total)}/{self.total}] {name}"
        )

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def waits(self, name: str) -> None:
        self.console.print(f"{name}: waiting for the process that computes it", markup=False)

    def ended(self, name: str, status: str, seconds: float, reason: str) -> None:
        """Print how a stage ended; cached ones are counted at the end instead."""
        self.number += 1
        if status == "cached":
            return
        mark = STYLES.get(status, f"[yellow]{status}[/]")
        duration = f"{seconds:7.1f} s" if status == "done" else " " * 9
        line = f"{mark:<6} {duration}  {escape(name)}"
        self.console.print(line + (f": {escape(reason)}" if reason else ""), soft_wrap=True)
