"""How values lie on disk: safetensors for weights, HDF5 for arrays, JSON for the rest. No pickle.

Every file is written under another name and renamed into place, so it is whole or absent.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gvr_bench.errors import StoreError, TrainingError
from gvr_bench.sink import Sink

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]

Arrays = Mapping[str, NDArray[Any]]
BAD_HDF5 = (  # what h5py raises for files that are damaged or not ours
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
)  # fmt: skip
MOST_PACKED = 64  # bytes that one byte of a large compressed array may stand for
ALWAYS = 2**32  # bytes that an array may have whatever it is packed into
SLASH = "\u2215"  # stands for "/" in a label that names an HDF5 group: it would nest groups


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` when the block ends well.

    Raises `StoreError` where the file system refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free some space, or choose another "
            "folder with --store or --out"
        ) from error


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: object) -> None:
    """Write `value`, readable by people."""
    with replacing(path) as partial:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote. Raises `StoreError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


def write_weights(path: Path, weights: Mapping[str, Tensor], note: str = "") -> None:
    """Write tensors as safetensors, with a text beside them."""
    import safetensors.torch

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    data = safetensors.torch.save(whole, metadata={"note": note})
    with replacing(path) as partial:
        partial.write_bytes(data)


def read_weights(path: Path) -> tuple[Weights, str]:
    """Read what `write_weights` wrote. Raises `StoreError`."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return weights, (file.metadata() or {}).get("note", "")
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:  # torch may open it
        raise StoreError(f"cannot read {path}: {error}") from error


def write_state(path: Path, tree: object) -> None:
    """Write nested dicts and lists of tensors and numbers, such as an optimiser's state.

    Raises `TrainingError` where a tensor holds NaN: the file that is there stays as it is.
    """
    tensors: Weights = {}
    skeleton = _take_tensors(tree, tensors)
    if any(bool(tensor.isnan().any()) for tensor in tensors.values()):
        raise TrainingError("the state of the training holds NaN")
    write_weights(path, tensors, json.dumps(skeleton))


def read_state(path: Path) -> Any:
    """Read what `write_state` wrote. Raises `StoreError`."""
    tensors, note = read_weights(path)
    try:
        return _put_tensors(json.loads(note), tensors)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:  # not of `write_state`
        raise StoreError(f"cannot read {path}: it is no state of a training ({error})") from error


def _take_tensors(value: Any, tensors: Weights) -> Any:
    """Replace each tensor by its name and layout, each dict by its items: JSON has no int keys.

    The order of the dimensions in memory is kept, for fused optimisers pair elements by address.
    """
    import torch

    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        tensors[name] = value.permute(order)
        return {"tensor": [name, order]}
    if isinstance(value, Mapping):
        return {"items": [[key, _take_tensors(part, tensors)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_take_tensors(part, tensors) for part in value]}
    return value


def _put_tensors(value: Any, tensors: Weights) -> Any:
    """Undo `_take_tensors`."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        name, order = content
        return tensors[name].permute([order.index(i) for i in range(len(order))])
    if kind == "items":
        return {key: _put_tensors(part, tensors) for key, part in content}
    parts = [_put_tensors(part, tensors) for part in content]
    return parts if kind == "list" else tuple(parts)


def write_arrays(path: Path, arrays: Arrays, attributes: Mapping[str, Any] | None = None) -> None:
    """Write arrays to HDF5; a name may hold `/` for groups. Text arrays become UTF-8 strings."""
    with writing_arrays(path) as file:
        for name, array in arrays.items():
            put_array(file, name, array)
        file.attrs.update(attributes or {})


@contextlib.contextmanager
def writing_arrays(path: Path) -> Iterator[Any]:
    """Yield an open HDF5 file that replaces `path` when the block ends well.

    Raises `StoreError` where the file system refuses.
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


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read the arrays `names`, or all that are not in a group. Raises `StoreError`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            wanted = names or [
                name for name in file if isinstance(own_item(file, name), h5py.Dataset)
            ]
            return {name: get_array(own_item(file, name)) for name in wanted}
    except BAD_HDF5 as error:
        raise StoreError(f"cannot read {path}: {error}") from error


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


def get_array(dataset: Any) -> NDArray[Any]:
    """Read one HDF5 data set; strings come back as text.

    Raises `ValueError` for what no file of ours holds: data in other files, objects, or far more
    numbers than the file has bytes for.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("there is a group where an array is expected")
    refuse_absent(dataset)
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[()], dtype=np.str_)
    if dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} holds neither numbers nor text")
    return np.asarray(dataset[()])
