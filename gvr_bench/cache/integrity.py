"""Whether a stored value is what was written: `meta.json` tells size and SHA-256 of each file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import canonical

META, ERROR, WORK = "meta.json", "error.json", "work"
NOT_WRITTEN = "is not what was written"
TOLD = {
    *("schema", "kind", "name", "version", "settings", "seed", "fingerprint", "inputs", "key"),
    *("seconds", "memory", "gvr_bench", "python", "torch", "device"),
    *("files", "digest", "made_from", "own"),
}


class FileSum(pydantic.BaseModel):
    """Size and digest of one file."""

    size: int
    sha256: str


class Meta(pydantic.BaseModel):
    """What is asked of `meta.json`; it tells more.

    `files` is None in values of versions that knew only a `digest` of all files together, and
    `digest` in values of versions before that: these are used without a check. `own` is the digest
    of all the rest of `meta.json`, None in values of versions that did not know it.
    """

    key: str
    seconds: float
    files: dict[str, FileSum] | None = None
    digest: str | None = None
    made_from: dict[str, str] = {}
    own: str | None = None


def read_meta(folder: Path) -> tuple[Meta, dict[str, Any]]:
    """Read what is told of a value: as checked, and all of it. Raises `CacheError`."""
    content = read_json(folder / META)
    try:
        meta = Meta.model_validate(content)
    except pydantic.ValidationError as error:
        raise CacheError(f"{folder / META} is damaged") from error
    # Without the digest there is nothing to compare, but a damaged name of it is noticed.
    strange = content.keys() - TOLD
    if strange or (meta.own is not None and meta.own != own_sum(content)):
        raise CacheError(f"{folder / META} {NOT_WRITTEN}")
    return meta, content


def write_meta(folder: Path, content: dict[str, Any]) -> None:
    """Write what is told of a value, with a digest of its own. Raises `CacheError`."""
    write_json(folder / META, {**content, "own": own_sum(content)})


def own_sum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what `meta.json` tells, but that digest itself."""
    rest = {name: value for name, value in content.items() if name != "own"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the digest of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_files(folder: Path) -> list[Path]:
    """Return the files that a value consists of."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (META, ERROR)
    ]


def sums(paths: Iterable[Path]) -> dict[str, FileSum]:
    """Return size and digest of files, by name. Raises `OSError`."""
    return {path.name: FileSum(size=path.stat().st_size, sha256=sha256(path)) for path in paths}


def digest(files: Mapping[str, FileSum]) -> str:
    """Return one SHA-256 of a whole value."""
    lines = (f"{name} {files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def size_fault(folder: Path, meta: Meta) -> str:
    """Say which file is gone or of another size than when it was written; empty if none is."""
    for name, was in (meta.files or {}).items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            return f"{name}: {error.strerror}"
        if size != was.size:
            return f"{name} has {size:,} bytes, not {was.size:,}"
    return ""


def file_fault(folder: Path, meta: Meta, name: str) -> str:
    """Say how a file differs from what was written; empty if it does not, or nothing tells.

    Where only a digest of all files is known, all are read.
    """
    try:
        if meta.files is None:
            known = meta.digest is None or digest(sums(value_files(folder))) == meta.digest
            return "" if known else f"its content {NOT_WRITTEN}"
        if name not in meta.files:
            return f"{name} {NOT_WRITTEN}"
        same = sha256(folder / name) == meta.files[name].sha256
    except OSError as error:
        return f"{name}: {error.strerror}"
    return "" if same else f"the content of {name} {NOT_WRITTEN}"


def value_fault(folder: Path, meta: Meta) -> str:
    """Say how a value differs from what was written, by the content of all its files."""
    names = [""] if meta.files is None else list(meta.files)
    return size_fault(folder, meta) or next(
        filter(None, (file_fault(folder, meta, name) for name in names)), ""
    )


def told(files: Mapping[str, FileSum]) -> dict[str, dict[str, Any]]:
    """Return checksums as `meta.json` holds them."""
    return {name: one.model_dump() for name, one in files.items()}


def seal(folder: Path) -> None:
    """Tell in a value's `meta.json` what its files are now. Raises `CacheError`."""
    _, content = read_meta(folder)
    write_meta(folder, {**content, "files": told(sums(value_files(folder)))})
