"""Digests of files, which stand for their content in keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gvr_bench.core.errors import UsageError


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and sizes of a folder's files.

    Raises `UsageError` that names it.
    """
    try:
        if path.is_dir():
            sizes = (f"{f.relative_to(path)} {f.stat().st_size}\n" for f in files_below(path))
            return hashlib.sha256("".join(sizes).encode("utf-8", "surrogateescape")).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders in order, without hidden ones."""
    paths = sorted(folder.rglob("*"))
    hidden = (any(part.startswith(".") for part in p.relative_to(folder).parts) for p in paths)
    return [path for path, out in zip(paths, hidden, strict=True) if not out and path.is_file()]
