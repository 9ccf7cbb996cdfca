"""IDX files that announce or pack more than they should."""

from __future__ import annotations

import gzip
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.idx import read_idx
from gvr_datasets.mnist import find
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gvr_bench.api as gvr

FUZZ = settings(
    max_examples=200,
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


def test_gzip_bomb_stops_at_header_size(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header(1, 2, 2) + bytes(200_000_000), 9))
    tracemalloc.start()
    assert "holds more bytes of data, 4 expected for 1 x 2 x 2" in fault(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_empty_part_is_empty_array(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(header(2**32 - 1, 0, 28))
    assert read_idx(path, 3).shape == (2**32 - 1, 0, 28)


def test_outward_links_are_refused(tmp_path: Path, write_mnist) -> None:
    folder = write_mnist(tmp_path / "mnist")
    name = "train-labels-idx1-ubyte"
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(gvr.DataError, match="is a link out of"):
        find(folder)


@FUZZ
@given(data=st.data())
def test_fuzzed_idx_reads_or_fails(tmp_path: Path, data) -> None:
    zipped = data.draw(st.booleans())
    path = tmp_path / ("images.gz" if zipped else "images")
    original = header(3, 4, 5) + bytes(range(60))
    content = bytearray(gzip.compress(original, 1) if zipped else original)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        actual = read_idx(path, 3)
    except gvr.DataError:
        return
    assert actual.size == math.prod(actual.shape) <= 60
