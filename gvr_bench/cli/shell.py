"""Shared by the commands: one-line errors, exit codes, tables."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from gvr_bench.core.errors import GvrError, UsageError
from gvr_bench.core.interrupts import Stop, Stopped
from gvr_bench.core.process_group import are_several

if TYPE_CHECKING:
    from rich.text import Text

BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 1, 130
UNWRITABLE = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE
STOP = Stop()  # signals concern the process, so one for all commands


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End on bad input or a signal with one line on stderr and an exit code, no traceback."""
    try:
        with STOP.listening():
            yield
    except GvrError as error:
        leave(f"error: {' '.join(str(error).split())}", BAD_INPUT)
    except KeyboardInterrupt as stopped:
        Console(stderr=True).show_cursor()  # a progress bar cannot, after a second signal
        line, code = "interrupted", INTERRUPTED
        if isinstance(stopped, Stopped):
            line, code = str(stopped), stopped.code
        leave(f"{line}; run the same command again to resume", code)


def leave_if_stopped(code: object) -> None:
    """Exit at once after a signal, before interrupted libraries print errors on cleanup."""
    if STOP.number and code == 128 + STOP.number:
        flush_output()
        sys.stderr.flush()
        os._exit(code)


def flush_output() -> None:
    """Write out what was printed, while an error can still be told. Raises `OSError`."""
    if sys.stdout is not None:  # as it is where the descriptor was closed
        sys.stdout.flush()


def leave_if_unwritable(error: OSError) -> None:
    """Exit with one line if stdout takes no more: our own files raise `CacheError` instead.

    A reader that closed its end of the pipe has read enough and gets no line.
    """
    if error.filename is not None or error.errno not in UNWRITABLE:
        return
    with contextlib.suppress(OSError):  # stderr may be as full
        if error.errno != errno.EPIPE:
            print(f"error: cannot write the output: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(SOME_FAILED if error.errno == errno.EPIPE else BAD_INPUT)


def leave(line: str, code: int) -> NoReturn:
    """Print one line on stderr and exit; control characters in it are escaped.

    Of several processes one alone prints it, with its rank if it is not the first.
    """
    if are_several():
        from gvr_bench.core.process_group import process_group

        with contextlib.suppress(UsageError):  # it is not connected: the line says so
            group = process_group()
            if not group.reports():
                raise typer.Exit(code)
            if group.rank and line.startswith("error: "):
                rest = line.removeprefix("error: ")
                line = f"error: rank {group.rank} of {group.count}: {rest}"
    print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), file=sys.stderr)
    raise typer.Exit(code)


def print_json(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    Console().print(table)
