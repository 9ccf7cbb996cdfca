"""What a command shows on stderr while it works: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from gvr_bench.core.stage import Stage
from gvr_bench.pipeline.collect import Outcome
from gvr_bench.pipeline.expected_time import rough_duration

LOG_INTERVAL = 10.0  # seconds between plain lines
WIDE = 100  # columns from which there is room for a long bar
FEW = 0.1  # of uneven steps, from which the time that is left cannot be guessed
STYLES = {"failed": "red", "done": "green", "skipped": "yellow", "n/a": "yellow"}  # worst first


class ShortenedColumn(TextColumn):
    """A text of which the end is left out where a line has no room for it."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=False)  # such columns are the first to be made narrower

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


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
        wide = console.width >= WIDE
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20 if wide else 8),
            TextColumn("{task.percentage:>3.0f}%"),
            ShortenedColumn("{task.fields[detail]}", style="dim", markup=False),
            *([TimeElapsedColumn()] if wide else []),
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

    def __call__(
        self, done: int, total: int, detail: str = "", seconds_left: float | None = None
    ) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done  # a resumed loop does not start at 0
        rate = (done - self.first) / (now - self.began) if now > self.began else 0.0
        counts = f"{self.count(done)}/{self.count(total)}"
        speed = f"{self.count(rate, digits=1)}/s" if rate and self.even else ""
        text = "  ".join(filter(None, (counts, detail, speed)))
        if seconds_left is None and rate and (self.even or done - self.first >= total * FEW):
            seconds_left = (total - done) / rate
        left = "" if seconds_left is None else f"ETA {timedelta(seconds=round(seconds_left))}"
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
    """The stages of a run: how far one is, and how each ended.

    What an explainer computes is folded to one line for each model, printed when all of it has
    ended; `titles` says by key of which explainer a stage is. `time_left` returns the seconds that
    the run still takes, None where they are not known. A `quiet` one shows failures and warnings.
    """

    def __init__(
        self,
        console: Console,
        total: int = 0,
        titles: Mapping[str, str] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.console = console
        self.total = total
        self.titles = titles or {}
        self.time_left: Callable[[], float | None] = lambda: None
        self.details = Console(quiet=True) if quiet else console
        self.number = 0  # of stages that ended
        self.open: dict[str, set[str]] = defaultdict(set)  # keys by title
        self.outcomes: dict[str, list[Outcome]] = defaultdict(list)  # by title
        for key, title in self.titles.items():
            self.open[title].add(key)

    def stage(self, name: str) -> TaskProgress:
        left = self.time_left()
        of_run = f", {rough_duration(left)} left" if left is not None else ""
        number = min(self.number + 1, self.total)
        return TaskProgress(self.details, f"[{number}/{self.total}{of_run}] {name}")

    def say(self, text: str) -> None:
        self.print(self.details, Text(text))

    def warn(self, text: str) -> None:
        self.print(self.console, Text(f"warning: {text}", "yellow"))

    def waits(self, name: str) -> None:
        self.say(f"{name}: waiting for the process that computes it")

    def ended(self, stage: Stage, outcome: Outcome) -> None:
        """Print how a stage ended, or the last one of an explainer; cached ones are left out."""
        self.number += 1
        title = self.titles.get(stage.key)
        if title is None or outcome.status == "failed":
            self.line(str(stage), [outcome])
        if title is not None:
            self.outcomes[title].append(outcome)
            self.open[title].discard(stage.key)
            if not self.open[title]:
                self.line(f"explainer {title}", self.outcomes.pop(title))

    def line(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Print one line on stages that have ended, unless all are cached."""
        by_status: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_status["n/a" if outcome.not_applicable else outcome.status].append(outcome)
        worst = next((status for status in STYLES if status in by_status), None)
        if worst is None:
            return
        seconds = sum(outcome.seconds for outcome in by_status["done"])
        others = [f"{len(by_status[s])} {s}" for s in STYLES if s != worst and by_status[s]]
        reasons = dict.fromkeys(o.reason for o in by_status[worst] if o.reason)
        line = Text(f"{worst:<8}", STYLES[worst])
        line.append(f"{seconds:7.1f} s" if seconds else " " * 9, "default")
        line.append(f"  {name}" + (f" ({', '.join(others)})" if others else ""), "default")
        line.append(f": {'; '.join(reasons)}" if reasons else "", "default")
        console = self.console if worst == "failed" else self.details
        self.print(console, line)

    def print(self, console: Console, text: Text) -> None:
        """Print text, folded at spaces in a terminal; a line of a log stays one."""
        console.print(text, soft_wrap=not console.is_terminal)
