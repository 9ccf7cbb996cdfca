"""IDX, the format of MNIST: a magic number, the size of each dimension, then bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

import gvr_bench.api as gvr

LARGEST = 2**28  # bytes of data; those of MNIST are 47 million


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, gzipped or not, with that many dimensions.

    No more is unpacked than the header announces. Raises `DataError` naming the file and what was
    expected.
    """
    try:
        with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            shape = _read_shape(file, dimensions, path)
            size = math.prod(shape)
            data = file.read(size + 1)  # reaching the end checks what was unpacked
    except (OSError, EOFError, zlib.error) as error:
        raise gvr.DataError(f"cannot read {path}: {error}; a complete file is expected") from error
    if len(data) != size:
        held, edges = f"{len(data):,}" if len(data) < size else "more", " x ".join(map(str, shape))
        raise gvr.DataError(f"{path} holds {held} bytes of data, {size:,} expected for {edges}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_shape(file: BinaryIO, dimensions: int, path: Path) -> tuple[int, ...]:
    magic, header = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    start = file.read(header)
    if start[:4] != magic:
        raise gvr.DataError(
            f"{path} is not an IDX file of bytes with {dimensions} dimension(s): it starts with "
            f"{start[:4].hex() or 'nothing'}, {magic.hex()} expected"
        )
    if len(start) < header:
        raise gvr.DataError(f"{path} ends inside its header of {header} bytes")
    shape = tuple(int(edge) for edge in np.frombuffer(start, ">u4", dimensions, offset=4))
    if math.prod(shape) > LARGEST:
        raise gvr.DataError(
            f"{path} announces {' x '.join(map(str, shape))} bytes, at most {LARGEST:,} expected"
        )
    return shape
