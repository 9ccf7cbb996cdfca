"""Locks between processes, which end with their owner."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # of a file system without locks


def silent() -> None:
    pass


class Busy(Exception):  # noqa: N818 - it is no error
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = silent) -> Iterator[bool]:
    """Hold a lock; yields whether the file system has locks.

    Where another process holds it, calls `waiting` once and waits. Raises `Busy` instead where
    that is None, and `OSError`.
    """
    lock = _lock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            if waiting is None:
                raise Busy from error
            waiting()
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock unless another process does; yields whether it is held. Raises `OSError`."""
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock(path: Path) -> filelock.BaseFileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path)
