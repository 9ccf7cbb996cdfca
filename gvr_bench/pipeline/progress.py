"""What a run shows while it works: bars in a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY = 10.0  # seconds between plain lines
MARK = {"done": "[green]done[/]", "cached": "[dim]cached[/]", "failed": "[red]failed[/]"}


class Display:
    """Shows stages one after the other."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.number = 0  # of stages that ended

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[StageDisplay]:
        """Show one stage while it is computed."""
        title = f"[{min(self.number + 1, self.total)}/{self.total}] {name}"
        if not self.console.is_terminal:
            yield PlainDisplay(self.console, title)
            return
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("ETA", style="dim"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        ) as bars:
            yield BarDisplay(bars, title)

    def warn(self, text: str) -> None:
        """Say what the user should know, and need not act on."""
        self.console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def waits(self, name: str) -> None:
        """Say that another process is at a stage."""
        self.console.print(f"{name}: waiting for the process that computes it", markup=False)

    def ended(self, name: str, status: str, seconds: float, reason: str) -> None:
        """Say how a stage ended; what was reused is summed up at the end instead."""
        self.number += 1
        if status == "cached":
            return
        mark = MARK.get(status, f"[yellow]{status}[/]")
        time_taken = f"{seconds:7.1f} s" if status == "done" else " " * 9
        line = f"{mark:<6} {time_taken}  {escape(name)}"
        self.console.print(line + (f": {escape(reason)}" if reason else ""), soft_wrap=True)


class StageDisplay:
    """Progress of one stage; called from its loops."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int, detail: str) -> None:
        """Show that `done` of `total` are done."""
        if self.first is None:
            self.first = done  # a resumed loop does not start at 0
        elapsed = time.monotonic() - self.started
        rate = (done - self.first) / elapsed if elapsed > 0 else 0.0
        parts = [f"{done:,}/{total:,}", detail, f"{rate:,.1f}/s" if rate else ""]
        self.show(done, total, "  ".join(filter(None, parts)))

    def show(self, done: int, total: int, detail: str) -> None:
        """Draw it."""
        raise NotImplementedError


class BarDisplay(StageDisplay):
    """A bar with elapsed and remaining time."""

    def __init__(self, bars: Progress, title: str) -> None:
        super().__init__()
        self.bars = bars
        self.task = bars.add_task(escape(title), total=None, detail="")

    def show(self, done: int, total: int, detail: str) -> None:
        """Move the bar."""
        self.bars.update(self.task, completed=done, total=total, detail=detail)


class PlainDisplay(StageDisplay):
    """A line now and then, for logs."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__()
        self.console = console
        self.title = title
        self.last = time.monotonic()

    def show(self, done: int, total: int, detail: str) -> None:
        """Print where things stand, at most every few seconds."""
        now = time.monotonic()
        if now - self.last < EVERY:
            return
        self.last = now
        done_here = done - (self.first or 0)
        left = (now - self.started) * (total - done) / done_here if done_here else 0.0
        self.console.print(
            escape(f"{self.title}  {detail}  ETA {left:.0f} s"), soft_wrap=True, highlight=False
        )
