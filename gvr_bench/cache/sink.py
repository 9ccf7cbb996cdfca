"""A file that HDF5 can be trusted with when the disk is full."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

BLOCK = 2**17  # bytes; HDF5 writes larger pieces of data sets only


class Sink(io.FileIO):
    """A file for HDF5, which crashes the process where it cannot write, or reads what it did not.

    The first refusal is kept. From then on its own blocks, which are small, are held in memory,
    and images are thrown away.
    """

    refusal: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self.kept: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        """Write all of `data`, in memory after a refusal."""
        view = memoryview(data).cast("B")
        start, done = self.tell(), 0
        try:
            while done < len(view) and not self.refusal:
                done += super().write(view[done:]) or 0
        except OSError as error:
            self.refusal = error
        if self.refusal:
            if len(view) <= BLOCK:
                self.kept.append((start, bytes(view)))
            self.seek(start + len(view))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read what was written, wherever it is; zeros for what was thrown away."""
        start = self.tell()
        count = super().readinto(buffer) or 0
        if not self.refusal:
            return count
        view = memoryview(buffer).cast("B")
        view[count:] = bytes(len(view) - count)
        for at, data in self.kept:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        self.seek(start + len(view))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file, as far as it may be."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.refusal = self.refusal or error
            return size or 0
