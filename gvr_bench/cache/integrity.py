"""Whether a stored value is what was written: `meta.json` holds size and SHA-256 of each file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import CorruptFileError
from gvr_bench.core.stage import canonical

META, ERROR, WORK = "meta.json", "error.json", "work"


class FileSum(pydantic.BaseModel):
    size: int
    sha256: str


class Meta(pydantic.BaseModel):
    """The part of `meta.json` that the cache uses; provenance for people lies beside it.

    `digest` is that of all files together, `own` that of the rest of `meta.json`; `made_from` maps
    the keys of the inputs to the digests they had.
    """

    key: str
    seconds: float
    note: str = ""
    files: dict[str, FileSum]
    digest: str
    made_from: dict[str, str]
    own: str


def read_meta(folder: Path) -> tuple[Meta, dict[str, Any]]:
    """Return what the cache uses of `meta.json`, and all of it. Raises `CacheError`."""
    content = read_json(folder / META)
    try:
        meta = Meta.model_validate(content)
    except pydantic.ValidationError as error:
        raise CorruptFileError(f"{folder / META} is damaged") from error
    if meta.own != own_digest(content):
        raise CorruptFileError(f"{folder / META} is not what was written")
    return meta, content


def write_meta(folder: Path, content: dict[str, Any]) -> None:
    """Write `meta.json` with a digest of its own content. Raises `CacheError`."""
    write_json(folder / META, {**content, "own": own_digest(content)})


def own_digest(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "own"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_files(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [path for path in files if path.name not in (META, ERROR)]


def checksums(folder: Path) -> dict[str, Any]:
    """Return the fields `files` and `digest` of `meta.json`. Raises `OSError`."""
    sums = {p.name: {"size": p.stat().st_size, "sha256": sha256(p)} for p in value_files(folder)}
    lines = (f"{name} {sums[name]['sha256']}\n" for name in sorted(sums))
    return {"files": sums, "digest": hashlib.sha256("".join(lines).encode()).hexdigest()}


def size_fault(folder: Path, meta: Meta) -> str:
    """Return which file is gone or has another size than was written; empty if none."""
    for name, expected in meta.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            return f"{name}: {error.strerror}"
        if size != expected.size:
            return f"{name} has {size:,} bytes, not {expected.size:,}"
    return ""


def file_fault(folder: Path, meta: Meta, name: str) -> str:
    """Return how the content of a file differs from what was written; empty if it does not."""
    if name not in meta.files:
        return f"{name} is not what was written"
    try:
        same = sha256(folder / name) == meta.files[name].sha256
    except OSError as error:
        return f"{name}: {error.strerror}"
    return "" if same else f"the content of {name} is not what was written"


def value_fault(folder: Path, meta: Meta) -> str:
    """Return how a value differs from what was written, by the content of all its files."""
    faults = (file_fault(folder, meta, name) for name in meta.files)
    return size_fault(folder, meta) or next(filter(None, faults), "")


def seal(folder: Path) -> None:
    """Renew the checksums in a value's `meta.json`. Raises `CacheError`."""
    _, content = read_meta(folder)
    write_meta(folder, {**content, "files": checksums(folder)["files"]})
