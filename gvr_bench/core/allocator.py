"""Memory that a process has freed: whether it is kept to be used again, or given back.

Every pass of a network on a CPU frees some megabytes and asks for as many in the next moment. The C
library gives them back to the system in between, and new pages take up to a third of the time.
"""

from __future__ import annotations

import contextlib
import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names of the two, in malloc.h
RESERVE = 256 * 2**20  # bytes that a process keeps at most at the end of its memory
LARGEST_PIECE = 32 * 2**20  # bytes in one piece; the most that glibc takes


def keep_freed_memory() -> None:
    """Keep freed memory in this process; without glibc, as on macOS, nothing changes."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGEST_PIECE)
        library.mallopt(TRIM_THRESHOLD, RESERVE)


def give_back_freed_memory() -> None:
    """Give it back now, so that what is in use can be told from what is kept."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
