"""Files of values: safetensors for weights, JSON for the rest (arrays are HDF5). No pickle.

Every file is written under another name and renamed, so it is complete or absent.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gvr_bench.core.errors import CacheError, CorruptFileError, TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` when the block ends without an error.

    Raises `CacheError` where the file system refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.partial")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(
            f"cannot write {path}: {error.strerror or error}; free some space, or choose another "
            "folder with --cache-dir or --out"
        ) from error


@contextlib.contextmanager
def reading(path: Path, *damage: type[Exception]) -> Iterator[None]:
    """Raise `CorruptFileError` for errors of the types `damage`, `CacheError` for an absent file.

    Both messages begin with `cannot read PATH: `.
    """
    corrupt: tuple[type[Exception], ...] = (OSError, *damage)
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CacheError(f"cannot read {path}: {error}") from error
    except corrupt as error:
        raise CorruptFileError(f"cannot read {path}: {error}") from error


def write_json(path: Path, value: object) -> None:
    with replacing(path) as partial:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Raises `CacheError`."""
    with reading(path, ValueError, RecursionError):
        return json.loads(path.read_text(encoding="utf-8"))


def write_weights(path: Path, weights: Mapping[str, Tensor], note: str = "") -> None:
    import safetensors.torch

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    data = safetensors.torch.save(tensors, metadata={"note": note})
    with replacing(path) as partial:
        partial.write_bytes(data)


def read_weights(path: Path) -> tuple[Weights, str]:
    """Return the tensors and the text that `write_weights` wrote. Raises `CacheError`."""
    import safetensors

    with (
        reading(path, RuntimeError, safetensors.SafetensorError),  # torch may open the file
        safetensors.safe_open(path, framework="pt") as file,
    ):
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return weights, (file.metadata() or {}).get("note", "")


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
    """Read what `write_state` wrote. Raises `CacheError`."""
    tensors, note = read_weights(path)
    try:
        return _put_tensors(json.loads(note), tensors)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:  # not of `write_state`
        raise CorruptFileError(f"cannot read {path}: no state of a training ({error})") from error


def _take_tensors(value: Any, tensors: Weights) -> Any:
    """Replace each tensor by its name and layout, each dict by its items: JSON has no int keys.

    The memory order of the dimensions is stored, because a fused optimiser pairs the elements of a
    weight and of its moments by their position in memory.
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
