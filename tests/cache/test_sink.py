"""A full disk beneath HDF5: what it wrote of itself it reads again, so that it does not crash."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gvr_bench.cache.sink import BLOCK, Sink

SPACE = 16  # bytes that a file may have


@contextmanager
def full(folder: Path) -> Iterator[Sink]:
    """A file that may not grow further, which is as good as a full disk.

    The limit holds for the whole process, so it must end before pytest writes what came of it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Sink(folder / "file", "w+b") as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SPACE, hard))
        try:
            yield sink
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(sink: Sink, at: int, data: bytes) -> int:
    sink.seek(at)
    return sink.write(data)


def read(sink: Sink, at: int, size: int) -> bytes:
    buffer = bytearray(size)
    sink.seek(at)
    assert sink.readinto(buffer) == size
    return bytes(buffer)


def test_the_first_refusal_is_kept_and_hidden_from_the_writer(tmp_path: Path) -> None:
    with full(tmp_path) as sink:
        assert written(sink, SPACE - 1, b"abc") == 3
        assert sink.refusal.errno == errno.EFBIG
        assert sink.tell() == SPACE + 2
        first = sink.refusal
        written(sink, 90, b"def")
        assert sink.refusal is first


def test_small_blocks_are_read_as_they_were_last_written(tmp_path: Path) -> None:
    with full(tmp_path) as sink:
        written(sink, 0, b"on the disk")
        written(sink, SPACE - 2, b"abcdef")
        assert sink.refusal
        written(sink, SPACE, b"XY")
        written(sink, 3, b"a")
        assert read(sink, 0, SPACE + 6) == b"on ahe disk\0\0\0abXYef\0\0"
        assert read(sink, SPACE + 1, 2) == b"Ye"


def test_images_are_thrown_away(tmp_path: Path) -> None:
    with full(tmp_path) as sink:
        assert written(sink, SPACE, bytes([7]) * (BLOCK + 1)) == BLOCK + 1
        assert sink.refusal
        assert read(sink, SPACE, 4) == b"\0\0\0\0"
        assert sink.kept == []


def test_a_disk_with_space_is_written(tmp_path: Path) -> None:
    with Sink(tmp_path / "file", "w+b") as sink:
        written(sink, 0, b"abcdef")
        assert read(sink, 2, 3) == b"cde"
        sink.truncate(4)
        assert sink.refusal is None
    assert (tmp_path / "file").read_bytes() == b"abcd"
