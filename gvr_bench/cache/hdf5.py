"""Arrays in HDF5, written at once or in parts; reading trusts nothing but numbers and text."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.serialization import reading, replacing
from gvr_bench.core.interrupts import uninterrupted

Arrays = Mapping[str, NDArray[Any]]
BAD_HDF5 = (  # what h5py raises for files that are damaged or of another program
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
)  # fmt: skip
MAX_RATIO = 64  # by which a large array may be compressed
ANY_RATIO = 2**32  # bytes up to which an array may be compressed by any ratio
MARGIN = 2**16  # bytes that HDF5 takes for its own blocks until the next array is written
ALL = slice(None)
SLASH = "\u2215"  # stands for "/" in a label that names an HDF5 group: it would nest groups


def write_arrays(path: Path, arrays: Arrays, attributes: Mapping[str, Any] | None = None) -> None:
    """Write arrays to HDF5; a name may hold `/` for groups. Text arrays become UTF-8 strings."""
    with uninterrupted(), writing_arrays(path) as file:
        for name, array in arrays.items():
            put_array(file, name, array)
        file.attrs.update(attributes or {})


@contextlib.contextmanager
def writing_arrays(path: Path) -> Iterator[Any]:
    """Yield an open HDF5 file that replaces `path` when the block ends without an error.

    Arrays must be made by `put_array`, `put_rows` and `empty_array`. Raises `CacheError` where the
    file system refuses.
    """
    import h5py

    with replacing(path) as partial:
        file, size = None, 0
        try:
            with uninterrupted():
                file = h5py.File(partial, "w")
                _reserve(file, 0)
            yield file
            with uninterrupted():
                file.flush()
                size = file.id.get_filesize()
        finally:
            if file is not None:
                with uninterrupted():
                    file.close()
        os.truncate(partial, size)


def _reserve(group: Any, size: int) -> None:
    """Make sure that the disk has space for `size` bytes more. Raises `OSError`.

    HDF5 crashes the process where a write fails, so that the space is taken before it writes.
    """
    group.file.flush()  # blocks that are still in memory have no place in the file yet
    path, end = group.file.filename, group.file.id.get_filesize() + size + MARGIN
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:  # noqa: PTH123 - h5py has the name as text
            os.posix_fallocate(file.fileno(), 0, end)
    elif shutil.disk_usage(path).free < size + MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _bytes(array: NDArray[Any], rows: int) -> int:
    """Return how many bytes of a file so many rows of an array take at most."""
    if array.dtype.kind in "UO":
        size = sum(len(str(text).encode()) + 64 for text in array.flat)
    else:
        size = array.nbytes
    return (size // max(1, len(array)) + 256) * rows if array.ndim else size


def put_array(group: Any, name: str, array: NDArray[Any]) -> None:
    """Write one array into an open HDF5 group; images and maps are compressed."""
    import h5py

    array = np.asarray(array)
    with uninterrupted():
        _reserve(group, _bytes(array, len(array) if array.ndim else 1))
        if array.dtype.kind in "UO":
            group.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=array, **_compression(array))


def empty_array(
    group: Any, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...]
) -> Any:
    """Make an uncompressed array of an open HDF5 group, with space for all its rows; return it."""
    count = math.ceil(shape[0] / chunks[0])
    with uninterrupted():
        _reserve(group, count * (math.prod(chunks) * np.dtype(dtype).itemsize + 256))
        return group.create_dataset(name, shape, dtype, chunks=chunks)


def put_rows(group: Any, arrays: Arrays, start: int, total: int) -> None:
    """Write the rows from `start` on of arrays that have `total` rows when all are written."""
    import h5py

    if start and set(group) != arrays.keys():
        raise ValueError(f"{sorted(arrays)} are given after {sorted(group)}")
    for name, array in arrays.items():
        text = array.dtype.kind in "UO"
        dtype = h5py.string_dtype() if text else array.dtype
        with uninterrupted():
            _reserve(group, _bytes(array, len(array) if start else total))
            if not start:
                shape = (total, *array.shape[1:])
                group.create_dataset(name, shape, dtype, **_compression(array))
            group[name][start : start + len(array)] = array.astype(object) if text else array


def _compression(array: NDArray[Any]) -> dict[str, Any]:
    """Compress images and maps, each alone, so that single ones can be read."""
    if array.ndim < 3 or not array.size:
        return {}
    return {"chunks": (1, *array.shape[1:]), "compression": "gzip", "compression_opts": 1}


def read_arrays(path: Path, *names: str, rows: slice = ALL) -> dict[str, NDArray[Any]]:
    """Read `rows` of the arrays `names`, or of all that are not in a group. Raises `CacheError`."""
    import h5py

    with reading(path, *BAD_HDF5), h5py.File(path, "r") as file:
        chosen = names or [n for n in file if isinstance(own_item(file, n), h5py.Dataset)]
        return {name: get_array(own_item(file, name), rows) for name in chosen}


def has_array(path: Path, name: str) -> bool:
    """Whether a file has an array of this name. Raises `CacheError`."""
    import h5py

    with reading(path, *BAD_HDF5), h5py.File(path, "r") as file:
        return name in file


def count_rows(path: Path, name: str) -> int:
    """Raises `CacheError`."""
    import h5py

    with reading(path, *BAD_HDF5), h5py.File(path, "r") as file:
        return len(own_item(file, name))


def own_item(group: Any, name: str) -> Any:
    """Return an item of a group without following a link to another file. Raises `KeyError`."""
    import h5py

    part = group
    for step in name.split("/"):
        if isinstance(part.get(step, getlink=True), h5py.ExternalLink):
            raise KeyError(f"{name} lies in another file")
        part = part[step]
    return part


def refuse_foreign(file: Any) -> Any:
    """Return an open HDF5 file if all of its content lies in it; else raises `ValueError`."""
    import h5py

    names: list[str] = []

    def look(name: str, link: Any) -> str | None:
        names.append(name)
        return None if isinstance(link, h5py.HardLink) else name

    try:
        link = file.visititems_links(look)  # nothing may be raised in there
        if link is not None:
            raise ValueError(f"{link} is a link")
        for name in names:
            if isinstance(file[name], h5py.Dataset):
                refuse_absent(file[name])
    except BaseException:
        file.close()
        raise
    return file


def is_stored(dataset: Any) -> bool:
    """Whether the file has the bytes that an HDF5 data set announces."""
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        return bool(stored >= dataset.nbytes)
    announced = math.prod(
        -(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    bomb = dataset.nbytes > max(ANY_RATIO, MAX_RATIO * stored)
    return bool(dataset.id.get_num_chunks() == announced) and not bomb


def refuse_absent(dataset: Any) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} lies in another file")
    if not is_stored(dataset):
        raise ValueError(f"{dataset.name} says it holds {dataset.nbytes:,} bytes, and does not")


def get_array(dataset: Any, rows: slice = ALL) -> NDArray[Any]:
    """Read rows of one HDF5 data set, or its single value; strings come back as text.

    Raises `ValueError` for data in other files, objects, and far more numbers than the file has
    bytes for: gvr-bench writes none of these.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("there is a group where an array is expected")
    refuse_absent(dataset)
    index = rows if dataset.shape else ()
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[index], dtype=np.str_)
    if dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} holds neither numbers nor text")
    return np.asarray(dataset[index])
