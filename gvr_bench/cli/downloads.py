"""What `gvr-bench datasets` shows and asks about downloads."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from gvr_bench.cli.shell import print_table

if TYPE_CHECKING:
    from gvr_bench.data.fetch import FileState
    from gvr_bench.pipeline.progress import TaskProgress

CONFIRM_BYTES = 10**9  # downloads from this size on are confirmed


def show_states(states: list[FileState], folder: Path, remove: bool) -> None:
    """Print what is there and what would be downloaded, with the space that it takes."""
    from rich.filesize import decimal

    from gvr_bench.core.errors import DataError
    from gvr_bench.data.fetch import check_states, free_space, space_needed

    rows = []
    for state in states:
        percent = f" {state.done / state.remote.size:.0%}" if state.kind == "partial" else ""
        source, *others = [str(urlsplit(url).hostname) for url in state.remote.urls] or ["nowhere"]
        mirrors = f" (+{len(others)})" if others else ""
        size = decimal(state.remote.size)
        rows.append((state.remote.name, size, state.kind + percent, source + mirrors))
    print_table(("file", "size", "here", "from"), rows)
    print(f"to download   {decimal(sum(state.to_download for state in states))}")
    print(f"to unpack     about {decimal(sum(state.to_unpack for state in states))}")
    print(f"space needed  {decimal(space_needed(states, remove))}")
    print(f"space free    {decimal(free_space(folder))} in {folder}")
    try:
        check_states(states, folder, remove)
    except DataError as error:
        print(f"this would fail: {error}")


def confirm(states: list[FileState], name: str, folder: Path, yes: bool) -> None:
    """Ask before a large download. Raises `UsageError` where nobody can answer."""
    from rich.filesize import decimal

    from gvr_bench.core.errors import UsageError

    size = sum(state.to_download for state in states)
    if yes or size < CONFIRM_BYTES:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{name} would download {decimal(size)} into {folder}; add --yes to allow it, or "
            "--dry-run to see the files"
        )
    unpacked = sum(state.to_unpack for state in states)
    question = f"Download {decimal(size)} and unpack {decimal(unpacked)} into {folder}?"
    typer.confirm(question, abort=True, err=True)


@contextlib.contextmanager
def show_progress() -> Iterator[FileProgress]:
    """Show files on stderr while they are downloaded, checked and unpacked."""
    from rich.console import Console

    from gvr_bench.pipeline.progress import TaskProgress

    with TaskProgress(Console(stderr=True), in_bytes=True) as task:
        yield FileProgress(task)


class FileProgress:
    """Progress of one file after the other."""

    def __init__(self, task: TaskProgress) -> None:
        self.task = task
        self.label = ""

    def update(self, label: str, done: int, total: int) -> None:
        """Move the bar, which begins again with each file; elsewhere each file is a line."""
        if label != self.label:
            self.label = label
            self.task.start(label)
            if not self.task.console.is_terminal:
                self.log(f"{label}  {self.task.count(total)}")
        self.task(done, total)

    def log(self, text: str) -> None:
        """Print a line."""
        self.task.log(text)
