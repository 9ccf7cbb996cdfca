"""What code reads of the machine (files, folders, variables), and whether it is as it was."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

States = dict[
    str, str
]  # of files by path, of folders by path and "/", of variables by "$" and name
SYSTEM = ("/proc/", "/sys/", "/dev/")  # of the kernel, which change all the time
CACHED = "__pycache__"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_recorded: list[set[str]] = []  # what each block reads, the innermost last


@contextlib.contextmanager
def recording() -> Iterator[States]:
    """Collect what code in this block reads, with the states at the block's end.

    A file counts that is opened, or whose size or presence is looked up, a folder that is listed,
    and a variable of the environment. Calls of C libraries that open files themselves are not seen.
    """
    _listen()
    states: States = {}
    reads: set[str] = set()
    _recorded.append(reads)
    real_stat, environ = os.stat, type(os.environ)
    real_get = environ.__getitem__

    def stat_of(path: Any, *args: Any, **options: Any) -> os.stat_result:
        _note(path)
        return real_stat(path, *args, **options)

    def value_of(variables: Any, name: Any) -> Any:
        reads.add(f"${name}")
        return real_get(variables, name)

    os.stat, environ.__getitem__ = stat_of, value_of  # type: ignore[method-assign]
    try:
        yield states
    finally:
        os.stat, environ.__getitem__ = real_stat, real_get  # type: ignore[method-assign]
        _recorded.pop()
    states |= {name: state_of(name) for name in sorted(reads)}


def unchanged(states: Mapping[str, str]) -> bool:
    """Whether everything is as it was."""
    return all(state_of(name) == state for name, state in states.items())


def state_of(name: str) -> str:
    """Return a text that changes with a file, the files in a folder, or a variable."""
    if name.startswith("$"):
        return repr(os.environ.get(name[1:]))
    try:
        if not name.endswith("/"):
            return _state(Path(name).stat())
        with os.scandir(name) as entries:
            files = sorted(f"{e.name} {_entry(e)}" for e in entries if e.name != CACHED)
    except OSError:
        return "absent"
    return hashlib.sha256("\n".join(files).encode("utf-8", "surrogateescape")).hexdigest()


def _entry(entry: os.DirEntry[str]) -> str:
    with contextlib.suppress(OSError):
        return _state(entry.stat())
    return "absent"


def _state(info: os.stat_result) -> str:
    return "folder" if stat.S_ISDIR(info.st_mode) else f"{info.st_size} {info.st_mtime_ns}"


def _note(path: object, *, listed: bool = False) -> None:
    if not _recorded or not isinstance(path, str | bytes | os.PathLike):
        return
    full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a Path may look up the file
    if not full.startswith(SYSTEM) and CACHED not in full:
        _recorded[-1].add(full.rstrip("/") + "/" if listed else full)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorded:
        return
    if event == "open":
        path, _, flags = arguments
        if not flags & WRITES:
            _note(path)
    elif event in ("os.scandir", "os.listdir"):
        _note(arguments[0] or ".", listed=True)


@functools.cache
def _listen() -> None:
    """Receive the audit events of Python from now on; a hook cannot be removed."""
    sys.addaudithook(_hook)
