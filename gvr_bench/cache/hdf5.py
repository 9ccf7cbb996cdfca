"""Arrays in HDF5: written whole or in parts, read with nothing but numbers and text believed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.cache.serialization import replacing
from gvr_bench.cache.sink import Sink
from gvr_bench.core.errors import CacheError

Arrays = Mapping[str, NDArray[Any]]
BAD_HDF5 = (  # what h5py raises for files that are damaged or not ours
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
)  # fmt: skip
MOST_PACKED = 64  # bytes that one byte of a large compressed array may stand for
ALWAYS = 2**32  # bytes that an array may have whatever it is packed into
ALL = slice(None)
SLASH = "\u2215"  # stands for "/" in a label that names an HDF5 group: it would nest groups


def write_arrays(path: Path, arrays: Arrays, attributes: Mapping[str, Any] | None = None) -> None:
    """Write arrays to HDF5; a name may hold `/` for groups. Text arrays become UTF-8 strings."""
    with writing_arrays(path) as file:
        for name, array in arrays.items():
            put_array(file, name, array)
        file.attrs.update(attributes or {})


@contextlib.contextmanager
def writing_arrays(path: Path) -> Iterator[Any]:
    """Yield an open HDF5 file that replaces `path` when the block ends well.

    Raises `CacheError` where the file system refuses.
    """
    import h5py

    with replacing(path) as partial, Sink(partial, "w+b") as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        finally:
            if sink.refusal:  # all other trouble follows from it
                raise sink.refusal


def put_array(group: Any, name: str, array: NDArray[Any]) -> None:
    """Write one array into an open HDF5 group; images and maps are compressed."""
    import h5py

    array = np.asarray(array)
    if array.dtype.kind in "UO":
        group.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
    else:
        group.create_dataset(name, data=array, **_packing(array))


def put_rows(group: Any, arrays: Arrays, start: int, total: int) -> None:
    """Write the rows from `start` on of arrays that have `total` in the end, part after part.

    The first part says which arrays there are. Raises `ValueError` for a part with others.
    """
    import h5py

    if start and set(group) != arrays.keys():
        raise ValueError(f"{sorted(arrays)} are given after {sorted(group)}")
    for name, array in arrays.items():
        text = array.dtype.kind in "UO"
        dtype = h5py.string_dtype() if text else array.dtype
        if not start:
            shape = (total, *array.shape[1:])
            group.create_dataset(name, shape, dtype, **_packing(array))
        group[name][start : start + len(array)] = array.astype(object) if text else array


def _packing(array: NDArray[Any]) -> dict[str, Any]:
    """Say how an array is stored: images and maps one by one, compressed."""
    if array.ndim < 3 or not array.size:
        return {}
    return {"chunks": (1, *array.shape[1:]), "compression": "gzip", "compression_opts": 1}


def read_arrays(path: Path, *names: str, rows: slice = ALL) -> dict[str, NDArray[Any]]:
    """Read `rows` of the arrays `names`, or of all that are not in a group. Raises `CacheError`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            wanted = names or [
                name for name in file if isinstance(own_item(file, name), h5py.Dataset)
            ]
            return {name: get_array(own_item(file, name), rows) for name in wanted}
    except BAD_HDF5 as error:
        raise CacheError(f"cannot read {path}: {error}") from error


def count_rows(path: Path, name: str) -> int:
    """Return how many rows an array has. Raises `CacheError`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return len(own_item(file, name))
    except BAD_HDF5 as error:
        raise CacheError(f"cannot read {path}: {error}") from error


def own_item(group: Any, name: str) -> Any:
    """Return what a group holds under a name; a link to another file is not followed.

    Raises `KeyError` where there is none.
    """
    import h5py

    part = group
    for step in name.split("/"):
        if isinstance(part.get(step, getlink=True), h5py.ExternalLink):
            raise KeyError(f"{name} lies in another file")
        part = part[step]
    return part


def refuse_foreign(file: Any) -> Any:
    """Return an open HDF5 file all of whose content lies in it.

    Closes it and raises `ValueError` otherwise.
    """
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
    """Whether the file has all bytes of an HDF5 data set that it announces."""
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        return bool(stored >= dataset.nbytes)
    announced = math.prod(
        -(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    packed = dataset.nbytes > max(ALWAYS, MOST_PACKED * stored)
    return bool(dataset.id.get_num_chunks() == announced) and not packed


def refuse_absent(dataset: Any) -> None:
    """Raise `ValueError` where the numbers of an HDF5 data set are not in its file."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} lies in another file")
    if not is_stored(dataset):
        raise ValueError(f"{dataset.name} says it holds {dataset.nbytes:,} bytes, and does not")


def get_array(dataset: Any, rows: slice = ALL) -> NDArray[Any]:
    """Read rows of one HDF5 data set, or its single value; strings come back as text.

    Raises `ValueError` for what no file of ours holds: data in other files, objects, or far more
    numbers than the file has bytes for.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("there is a group where an array is expected")
    refuse_absent(dataset)
    wanted = rows if dataset.shape else ()
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[wanted], dtype=np.str_)
    if dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} holds neither numbers nor text")
    return np.asarray(dataset[wanted])
