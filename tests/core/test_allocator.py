"""Freed memory is kept for the next pass, and given back where memory is measured."""

from __future__ import annotations

import subprocess
import sys

import pytest

PIECE = 8 * 2**20  # bytes, which the C library gives back by itself
COUNT = """
import resource, sys, torch
from gvr_bench.core.allocator import give_back_freed_memory, keep_freed_memory
keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [torch.ones({piece} // 4) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for _ in range(6):  # until pieces lie where they fit
    faults()
if sys.argv[1] == "given back":
    give_back_freed_memory()
print(faults())
"""


def faults(how: str) -> int:
    """New pages that the last of several equal allocations takes, in a process of its own."""
    command = (sys.executable, "-c", COUNT.format(piece=PIECE), how)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
def test_freed_memory_is_kept_until_given_back() -> None:
    pages = 4 * PIECE // 4096
    kept = faults("kept")
    assert kept < pages / 10
    assert faults("given back") > kept  # few where the system has pages of megabytes
