"""`gvr-bench` on a disk that refuses one write: `broken_disk.py ERRNO COUNT ARGUMENT...`.

The file with that number, counted from the start, is written by half and then refused, and so are
all after it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gvr_bench.cache.serialization as formats
from gvr_bench.cli.main import main

number, count = getattr(errno, sys.argv[1]), int(sys.argv[2])
replacing = formats.replacing
written = 0


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[Path]:
    """Do what `replacing` does, until the disk is full."""
    global written
    written += 1
    with replacing(path) as partial:
        yield partial
        if written >= count:
            if partial.is_file():
                os.truncate(partial, partial.stat().st_size // 2)
            raise OSError(number, os.strerror(number))


formats.replacing = refusing
sys.argv[1:] = sys.argv[3:]
main()
