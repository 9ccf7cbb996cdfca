"""Files whose names end in the digest of their content: damage is never taken up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gvr_bench.cache.hdf5 import read_arrays, write_arrays
from gvr_bench.cache.integrity import sha256
from gvr_bench.cache.serialization import read_state, replacing, write_state
from gvr_bench.cache.staging import writer
from gvr_bench.core.errors import CacheError


class Format(NamedTuple):
    """How content becomes a file, and a file content."""

    suffix: str
    write: Callable[[Path, Any], None]
    read: Callable[[Path], Any]


STATE = Format(".safetensors", write_state, read_state)
ARRAYS = Format(".h5", write_arrays, read_arrays)


def write_sealed(work: Path, stem: str, content: Any, as_a: Format) -> Path | None:
    """Write content into the folder `work`; return where.

    None where the folder is gone, for another process has completed the stage. Raises `CacheError`
    where the file system refuses.
    """
    written = work / f"{stem}-{writer()}.partial"
    try:
        as_a.write(written, content)
        path = work / f"{stem}-{sha256(written)[:16]}{as_a.suffix}"
        with replacing(path) as partial:
            written.replace(partial)
    except (FileNotFoundError, CacheError) as error:
        if isinstance(error, CacheError) and not isinstance(error.__cause__, FileNotFoundError):
            raise
        return None
    return path


def read_sealed(path: Path, as_a: Format) -> Any:
    """Read such a file; None where it is not what was written."""
    try:
        if sha256(path)[:16] != path.stem.rpartition("-")[2]:
            return None
        return as_a.read(path)
    except (OSError, CacheError, ValueError, KeyError, TypeError):
        return None
