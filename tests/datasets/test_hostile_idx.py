"""IDX files and downloads that announce, pack or send more than they should."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import tracemalloc
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets import downloads
from gvr_datasets.downloads import Download, fetch, unpack
from gvr_datasets.idx import read_idx
from gvr_datasets.mnist import find
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gvr_bench.api as gvr

FUZZ = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


def fault(path: Path, dimensions: int = 3) -> str:
    with pytest.raises(gvr.DataError) as caught:
        read_idx(path, dimensions)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (2**31, 2, 1), (2**16, 2**16, 2**32 - 1)])
def test_sizes_whose_product_overflows_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "images"
    path.write_bytes(header(*shape))
    assert f"announces {' x '.join(map(str, shape))} bytes, at most" in fault(path)


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header(1, 2, 2) + bytes(200_000_000), 9))
    tracemalloc.start()
    assert "holds more bytes of data, 4 expected for 1 x 2 x 2" in fault(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_part_that_has_no_bytes_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(header(2**32 - 1, 0, 28))
    assert read_idx(path, 3).shape == (2**32 - 1, 0, 28)


def test_files_that_are_links_out_of_the_folder_are_refused(tmp_path: Path, write_mnist) -> None:
    folder = write_mnist(tmp_path / "mnist")
    name = "train-labels-idx1-ubyte"
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(gvr.DataError, match="is a link out of"):
        find(folder)


@FUZZ
@given(data=st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_named(tmp_path: Path, data) -> None:
    zipped = data.draw(st.booleans())
    path = tmp_path / ("images.gz" if zipped else "images")
    whole = header(3, 4, 5) + bytes(range(60))
    content = bytearray(gzip.compress(whole, 1) if zipped else whole)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_idx(path, 3)
    except gvr.DataError:
        return
    assert found.size == math.prod(found.shape) <= 60


# Downloads

CONTENT = b"digits" * 1000


def wanted(content: bytes = CONTENT, most: int = 10_000) -> Download:
    digest = hashlib.sha256(content).hexdigest()
    return Download(("https://one/x.gz", "https://two/x.gz"), digest, most)


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch):
    """Let each mirror send what it is given to send, or raise it."""

    def use(**sent: bytes | Exception) -> list[float]:
        waits: list[float] = []

        def urlopen(url: str, timeout: float) -> io.BytesIO:
            waits.append(timeout)
            answer = sent[url.split("/")[2]]
            if isinstance(answer, Exception):
                raise answer
            return io.BytesIO(answer)

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)
        return waits

    return use


@pytest.mark.parametrize(
    "bad",
    [
        gzip.compress(b"something else"),
        gzip.compress(CONTENT)[:-9],
        b"<html>please log in</html>",
        b"",
        gzip.compress(bytes(10_001)),
        TimeoutError("timed out"),
        IncompleteRead(b""),
    ],
)
def test_where_one_mirror_fails_the_next_is_asked(tmp_path: Path, mirrors, bad) -> None:
    waits = mirrors(one=bad, two=gzip.compress(CONTENT))
    fetch(wanted(), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert waits == [30.0, 30.0]
    mirrors(one=OSError("no"), two=bad)
    with pytest.raises(OSError, match="https://two/x"):
        fetch(wanted(), tmp_path / "y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_bomb_is_unpacked_no_further_than_allowed() -> None:
    bomb = io.BytesIO(gzip.compress(bytes(300_000_000), 9))
    tracemalloc.start()
    with pytest.raises(OSError, match="more than 10,000 bytes"):
        unpack(bomb, 10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_mirror_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", -1.0)
    monkeypatch.setattr(downloads, "CHUNK", 1)
    with pytest.raises(OSError, match="it took more than"):
        unpack(io.BytesIO(gzip.compress(CONTENT)), 10_000)
