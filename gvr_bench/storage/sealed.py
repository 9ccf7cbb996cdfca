"""State files whose names end in the digest of their content: damage is never taken up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gvr_bench.errors import StoreError
from gvr_bench.formats import read_state, replacing, write_state
from gvr_bench.storage.integrity import sha256


def write_sealed(work: Path, stem: str, tree: Mapping[str, Any]) -> Path | None:
    """Write a tree of tensors into the folder `work`; return where.

    None where the folder is gone, for another process has completed the stage. Raises `StoreError`
    where the file system refuses.
    """
    written = work / f"{stem.partition('-')[0]}-{os.getpid()}.partial"
    try:
        write_state(written, tree)
        path = work / f"{stem}-{sha256(written)[:16]}.safetensors"
        with replacing(path) as partial:
            written.replace(partial)
    except (FileNotFoundError, StoreError) as error:
        if isinstance(error, StoreError) and not isinstance(error.__cause__, FileNotFoundError):
            raise
        return None
    return path


def read_sealed(path: Path) -> Any:
    """Read such a file; None where it is not what was written."""
    try:
        if sha256(path)[:16] != path.stem.rpartition("-")[2]:
            return None
        return read_state(path)
    except (OSError, StoreError, ValueError, KeyError, TypeError):
        return None
