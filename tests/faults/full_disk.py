"""`gvr-bench` on a disk that refuses a write: `full_disk.py ERRNO COUNT ARGUMENT...`.

File number COUNT, from the start, is written by half and then refused, and so are all after it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from gvr_bench.cache import serialization
from gvr_bench.cli.main import main

number, count = int(sys.argv[1]), int(sys.argv[2])
replacing = serialization.replacing
files = 0


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[Path]:
    global files
    files += 1
    with replacing(path) as partial:
        yield partial
        if files >= count:
            if partial.is_file():
                os.truncate(partial, partial.stat().st_size // 2)
            raise OSError(number, os.strerror(number))


serialization.replacing = refusing
sys.argv[1:] = sys.argv[3:]
main()
