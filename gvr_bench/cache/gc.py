"""Looking after a cache: what is damaged in it, and what nothing refers to.

Something refers to a value as long as a spec can be written, for this version, whose run uses it:
its own key and those of all its inputs are the ones this version gives to what `meta.json` tells.
Checkpoints of unfinished trainings and notes of failures are referred to by the command that left
them. What is left: drafts and partial files of killed processes, checkpoints of stages that are
complete, locks of stages that are gone, and values of another schema or revision. A plugin of
another version may be installed in another environment, so its values stay until they are old.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from gvr_bench.cache.artifacts import DRAFTS, LOCKS, ArtifactCache
from gvr_bench.cache.integrity import ERROR, META, WORK, Meta, read_meta, value_fault, value_files
from gvr_bench.cache.locks import locked_if_free
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import StageKind, key_of

KEY = re.compile(r"-([0-9a-f]{16})$")  # that the name of a stage's folder ends in
DAY = 24 * 3600.0
KILLED, OUTDATED, COMPLETE, NO_STAGE = (
    "left by killed processes",
    "values of other versions",
    "checkpoints of complete stages",
    "locks of stages that are gone",
)


@dataclass(frozen=True)
class Fault:
    """A damaged value; `ours` is false for one that came with the package."""

    folder: Path
    text: str
    ours: bool = True


@dataclass(frozen=True)
class CheckResult:
    """What checking all values found; `unknown` of them tell no checksums."""

    values: int
    unknown: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Piece:
    """Something that can be removed, and why."""

    path: Path
    size: int
    why: str


def stage_folders(root: Path) -> list[Path]:
    """Return the folders of stages in a cache; nothing else there is ever touched."""
    kinds = (root / kind for kind in get_args(StageKind))
    return sorted(
        path
        for kind in kinds
        if kind.is_dir()
        for path in kind.iterdir()
        if KEY.search(path.name) and path.is_dir()
    )


def key_in(folder: Path) -> str:
    """Return the part of the key that a folder's name ends in."""
    found = KEY.search(folder.name)
    assert found
    return found[1]


def verify(cache: ArtifactCache) -> CheckResult:
    """Compare all values with their checksums."""
    folders = [(folder, True) for folder in stage_folders(cache.root)]
    folders += [(folder, False) for folder in stage_folders(cache.pretrained)]
    whole = [(folder, ours) for folder, ours in folders if (folder / META).is_file()]
    faults, unknown = [], 0
    for folder, ours in whole:
        text, meta = examine(folder)
        if text and ours:
            text = examine_alone(cache, folder)
        if text:
            faults.append(Fault(folder, text, ours))
        unknown += meta is not None and meta.files is None and meta.digest is None
    return CheckResult(len(whole), unknown, tuple(faults))


def examine(folder: Path) -> tuple[str, Meta | None]:
    """Say what is wrong with a value, and what is told of it."""
    if not (folder / META).is_file():
        return "", None
    try:
        meta, _ = read_meta(folder)
    except CacheError as error:
        return str(error), None
    if not meta.key.startswith(key_in(folder)):
        return f"{META} is that of {meta.key[:16]}", meta
    return value_fault(folder, meta), meta


def examine_alone(cache: ArtifactCache, folder: Path) -> str:
    """Examine again while nobody writes; what somebody is at will be whole."""
    with cache.writing(), locked_if_free(cache.lock_file(key_in(folder))) as free:
        return examine(folder)[0] if free else ""


def remove_damaged(cache: ArtifactCache, faults: tuple[Fault, ...]) -> list[Fault]:
    """Remove damaged values of the cache, which the next run computes again; return them."""
    removed = []
    for fault in faults:
        with cache.writing(), locked_if_free(cache.lock_file(key_in(fault.folder))) as free:
            if fault.ours and free and examine(fault.folder)[0]:
                remove(fault.folder)
                removed.append(fault)
    return removed


def collect(
    cache: ArtifactCache, unused_days: float | None = None, dry: bool = False
) -> list[Piece]:
    """Remove what nothing refers to, and what no run has used for so many days; return it.

    Safe beside runs: what a process holds the lock of is left alone. With `dry` nothing is
    removed. Raises `CacheError`.
    """
    found: list[Piece] = []
    with cache.writing():
        folders = stage_folders(cache.root)
        outdated = outdated_keys(folders)
        for folder in folders:
            with free_of_runs(cache, key_in(folder)) as last:
                if last is not None:
                    found += swept(pieces(folder, outdated, last, unused_days), dry)
        for draft in sorted((cache.root / DRAFTS).glob("*-*")):
            with free_of_runs(cache, draft.name[:16]) as last:
                if last is not None:
                    found += swept([piece(draft, KILLED)], dry)
        found += swept([piece(path, KILLED) for path in cache.root.glob(".probe-*")], dry)
        found += swept(idle_locks(cache), dry)
    return found


@contextlib.contextmanager
def free_of_runs(cache: ArtifactCache, key: str) -> Iterator[float | None]:
    """Hold a stage's lock; yields the time of its last use, 0 if unknown, or None if it is busy."""
    lock = cache.lock_file(key)
    last = lock.stat().st_mtime if lock.exists() else 0.0
    with locked_if_free(lock) as free:
        yield last if free else None
        if free and last:
            os.utime(lock, (last, last))  # this was no use
        elif free:
            lock.unlink(missing_ok=True)


def outdated_keys(folders: list[Path]) -> set[str]:
    """Return the keys of values that no spec leads to in this version."""
    told: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        with contextlib.suppress(CacheError):
            meta, content = read_meta(folder)
            told[meta.key] = content
    known: dict[str, bool] = {}

    def outdated(key: str) -> bool:
        if key not in known:
            known[key] = False
            if key in told:
                inputs = told[key].get("inputs", [])
                known[key] = not is_current(told[key]) or any(
                    outdated(text.split()[-1]) for text in inputs
                )
        return known[key]

    return {key for key in told if outdated(key)}


def is_current(told: Mapping[str, Any]) -> bool:
    """Whether this version gives a value the key that it has."""
    try:
        return bool(key_of(told) == told["key"])
    except KeyError:  # of a schema that told less
        return False


def pieces(
    folder: Path, outdated: set[str], last: float, unused_days: float | None
) -> Iterator[Piece]:
    """Yield what can be removed of a stage: all of it, or leftovers in it."""
    content: Mapping[str, Any] = {}
    with contextlib.suppress(CacheError):
        _, content = read_meta(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    newest = max([last, *(path.stat().st_mtime for path in files)])
    if content.get("key") in outdated:
        yield piece(folder, OUTDATED)
    elif unused_days is not None and time.time() - newest >= unused_days * DAY:
        yield piece(folder, f"not used for {unused_days:g} days")
    elif (folder / META).is_file():
        for path in value_files(folder):
            if "files" in content and path.name not in content["files"]:
                yield piece(path, KILLED)
        if (folder / WORK).is_dir():
            yield piece(folder / WORK, COMPLETE)
    elif not (folder / ERROR).is_file() and not has_checkpoint(folder):
        yield piece(folder, KILLED)
    else:
        yield from (piece(path, KILLED) for path in (folder / WORK).glob("*.partial"))


def idle_locks(cache: ArtifactCache) -> Iterator[Piece]:
    """Yield the lock files of stages that are gone, each while it is held."""
    here = {key_in(folder) for folder in stage_folders(cache.root)}
    for path in sorted((cache.root / LOCKS).glob("*.lock")):
        if path.stem not in here and not any((cache.root / DRAFTS).glob(f"{path.stem}-*")):
            with locked_if_free(path) as free:
                if free:
                    yield piece(path, NO_STAGE)


def piece(path: Path, why: str) -> Piece:
    """Measure what can be removed."""
    return Piece(path, size_of(path), why)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file())
    return sum(file.stat().st_size for file in files)


def swept(found: Iterator[Piece] | list[Piece], dry: bool) -> list[Piece]:
    """Remove pieces, unless dry; return them."""
    removed = []
    for one in found:
        if not dry:
            remove(one.path)
        removed.append(one)
    return removed


def remove(path: Path) -> None:
    """Remove a file, or a folder such that it is never taken for a whole value."""
    if path.is_dir():
        (path / META).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Content:
    """What a cache holds of one kind of stage."""

    kind: str
    values: int
    unfinished: int
    size: int


def contents(cache: ArtifactCache) -> list[Content]:
    """Count values, unfinished trainings and bytes by kind of stage. Raises `CacheError`."""
    rows = []
    with cache.writing():
        folders = stage_folders(cache.root)
        for kind in get_args(StageKind):
            mine = [folder for folder in folders if folder.parent.name == kind]
            whole = sum((folder / META).is_file() for folder in mine)
            begun = sum(has_checkpoint(folder) for folder in mine)
            if mine:
                rows.append(Content(kind, whole, begun, sum(map(size_of, mine))))
    return rows


def has_checkpoint(folder: Path) -> bool:
    """Whether a stage was begun that can go on."""
    return any((folder / WORK).glob("checkpoint-*"))
