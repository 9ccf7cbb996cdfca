"""A full disk beneath HDF5: what it wrote of itself it reads again, so that it does not crash."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gvr_bench.sink import BLOCK, Sink

FULL = Path("/dev/full")  # refuses every write, and reads as zeros

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@pytest.fixture
def sink() -> Sink:
    with Sink(FULL, "r+b") as sink:
        yield sink


def written(sink: Sink, at: int, data: bytes) -> int:
    sink.seek(at)
    return sink.write(data)


def read(sink: Sink, at: int, size: int) -> bytes:
    buffer = bytearray(size)
    sink.seek(at)
    assert sink.readinto(buffer) == size
    return bytes(buffer)


def test_the_first_refusal_is_kept_and_hidden_from_the_writer(sink: Sink) -> None:
    assert written(sink, 0, b"abc") == 3
    assert sink.refusal.errno == errno.ENOSPC
    assert sink.tell() == 3
    first = sink.refusal
    written(sink, 3, b"def")
    assert sink.refusal is first


def test_small_blocks_are_read_as_they_were_last_written(sink: Sink) -> None:
    written(sink, 10, b"abcdef")
    written(sink, 12, b"XY")
    assert read(sink, 8, 10) == b"\0\0abXYef\0\0"
    assert read(sink, 13, 2) == b"Ye"


def test_images_are_thrown_away(sink: Sink) -> None:
    assert written(sink, 0, bytes([7]) * (BLOCK + 1)) == BLOCK + 1
    assert read(sink, 0, 4) == b"\0\0\0\0"
    assert sink.kept == []


def test_a_disk_with_space_is_written(tmp_path: Path) -> None:
    with Sink(tmp_path / "file", "w+b") as sink:
        written(sink, 0, b"abcdef")
        assert read(sink, 2, 3) == b"cde"
        sink.truncate(4)
        assert sink.refusal is None
    assert (tmp_path / "file").read_bytes() == b"abcd"
