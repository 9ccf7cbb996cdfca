"""Checking a cache for damage, and removing what no run can use.

A run can use a value if this version gives the same key to what its `meta.json` describes, and to
all its inputs. Checkpoints of unfinished trainings and reports of failures belong to the command
that left them. What goes: drafts and partial files of killed processes, checkpoints of complete
stages, locks of stages that are gone, and values of another schema or revision. A plugin of another
version may be installed in another environment, so its values stay until they are old.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gvr_bench.cache.artifacts import DRAFTS, LOCKS, ArtifactCache
from gvr_bench.cache.integrity import ERROR, META, WORK, read_meta, value_fault, value_files
from gvr_bench.cache.locks import locked_if_free
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import key_of

KEY = re.compile(r"-([0-9a-f]{16})$")  # at the end of the name of a stage's folder
DAY = 24 * 3600.0
KILLED, OUTDATED, COMPLETE, NO_STAGE = (
    "left by killed processes",
    "values of other versions",
    "checkpoints of complete stages",
    "locks of stages that are gone",
)


class Fault(NamedTuple):
    """A damaged value; `ours` is false for one that came with the package."""

    folder: Path
    text: str
    ours: bool = True


class Garbage(NamedTuple):
    """Something that can be removed, its bytes, and why."""

    path: Path
    size: int
    why: str


class Content(NamedTuple):
    """What a cache holds of one kind of stage."""

    kind: str
    values: int
    unfinished: int
    size: int


def stage_folders(root: Path) -> list[Path]:
    """Return the folders of stages in a cache; nothing else there is ever touched."""
    return sorted(
        path
        for path in root.glob("*/*-*")
        if KEY.search(path.name) and any((path / name).exists() for name in (META, WORK, ERROR))
    )


def key_in(folder: Path) -> str:
    return folder.name[-16:]


def verify(cache: ArtifactCache) -> tuple[int, list[Fault]]:
    """Compare all values with their checksums; return their number, and the damaged ones."""
    folders = [(folder, True) for folder in stage_folders(cache.root)]
    folders += [(folder, False) for folder in stage_folders(cache.pretrained)]
    complete = [(folder, ours) for folder, ours in folders if (folder / META).is_file()]
    faults = []
    for folder, ours in complete:
        text = examine(folder)
        if text and ours:  # again, while nobody writes it
            with cache.writing(), locked_if_free(cache.lock_file(key_in(folder))) as free:
                text = examine(folder) if free else ""
        if text:
            faults.append(Fault(folder, text, ours))
    return len(complete), faults


def examine(folder: Path) -> str:
    """Return how a value is damaged; empty if it is not, or absent."""
    if not (folder / META).is_file():
        return ""
    try:
        meta, _ = read_meta(folder)
    except CacheError as error:
        return str(error)
    if not meta.key.startswith(key_in(folder)):
        return f"{META} is that of {meta.key[:16]}"
    return value_fault(folder, meta)


def remove_damaged(cache: ArtifactCache, faults: list[Fault]) -> list[Fault]:
    """Remove damaged values of the cache, which the next run computes again; return them."""
    removed = []
    for fault in faults:
        with cache.writing(), locked_if_free(cache.lock_file(key_in(fault.folder))) as free:
            if fault.ours and free and examine(fault.folder):
                remove(fault.folder)
                removed.append(fault)
    return removed


def collect(
    cache: ArtifactCache, unused_days: float | None = None, dry: bool = False
) -> list[Garbage]:
    """Remove what no run can use, and what no run has used for so many days; return it.

    Safe beside runs: what a process has locked stays. With `dry` nothing is removed. Raises
    `CacheError`.
    """
    garbage: list[Garbage] = []

    def sweep(paths: Iterable[tuple[Path, str]]) -> None:
        for path, why in paths:
            garbage.append(Garbage(path, size_of(path), why))
            if not dry:
                remove(path)

    with cache.writing():
        folders = stage_folders(cache.root)
        outdated = outdated_keys(folders)
        for folder in folders:
            with free_of_runs(cache, key_in(folder)) as last_use:
                if last_use is not None:
                    sweep(garbage_in(folder, outdated, last_use, unused_days))
        for draft in sorted((cache.root / DRAFTS).glob("*-*")):
            with free_of_runs(cache, draft.name[:16]) as last_use:
                if last_use is not None:
                    sweep([(draft, KILLED)])
        sweep((path, KILLED) for path in cache.root.glob(".probe-*"))
        sweep(idle_locks(cache))
    return garbage


@contextlib.contextmanager
def free_of_runs(cache: ArtifactCache, key: str) -> Iterator[float | None]:
    """Hold a stage's lock; yields the time of its last use, 0 if unknown, or None if it is busy."""
    lock = cache.lock_file(key)
    last_use = lock.stat().st_mtime if lock.exists() else 0.0
    with locked_if_free(lock) as free:
        yield last_use if free else None
        if free and last_use:
            os.utime(lock, (last_use, last_use))  # this was no use
        elif free:
            lock.unlink(missing_ok=True)


def outdated_keys(folders: list[Path]) -> set[str]:
    """Return the keys of values that this version computes under another key."""
    metas: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        with contextlib.suppress(CacheError):
            meta, content = read_meta(folder)
            metas[meta.key] = content
    outdated: dict[str, bool] = {}

    def is_outdated(key: str) -> bool:
        if key not in outdated:
            outdated[key] = False
            if key in metas:
                inputs = [text.split()[-1] for text in metas[key].get("inputs", [])]
                try:
                    current = key_of(metas[key]) == key  # this version gives it the same key
                except KeyError:  # of a schema with fewer fields
                    current = False
                outdated[key] = not current or any(map(is_outdated, inputs))
        return outdated[key]

    return {key for key in metas if is_outdated(key)}


def garbage_in(
    folder: Path, outdated: set[str], last_use: float, unused_days: float | None
) -> Iterator[tuple[Path, str]]:
    """Yield what can be removed of a stage: all of it, or leftovers in it."""
    content: Mapping[str, Any] = {}
    with contextlib.suppress(CacheError):
        _, content = read_meta(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    newest = max([last_use, *(path.stat().st_mtime for path in files)])
    if content.get("key") in outdated:
        yield folder, OUTDATED
    elif unused_days is not None and time.time() - newest >= unused_days * DAY:
        yield folder, f"not used for {unused_days:g} days"
    elif (folder / META).is_file():
        for path in value_files(folder):
            if content and path.name not in content["files"]:
                yield path, KILLED
        if (folder / WORK).is_dir():
            yield folder / WORK, COMPLETE
    elif not (folder / ERROR).is_file() and not has_checkpoint(folder):
        yield folder, KILLED
    else:
        yield from ((path, KILLED) for path in (folder / WORK).glob("*.partial"))


def idle_locks(cache: ArtifactCache) -> Iterator[tuple[Path, str]]:
    here = {key_in(folder) for folder in stage_folders(cache.root)}
    for path in sorted((cache.root / LOCKS).glob("*.lock")):
        if path.stem not in here and not any((cache.root / DRAFTS).glob(f"{path.stem}-*")):
            with locked_if_free(path) as free:
                if free:
                    yield path, NO_STAGE


def size_of(path: Path) -> int:
    files = [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file())
    return sum(file.stat().st_size for file in files)


def remove(path: Path) -> None:
    """Remove a file, or a folder such that no process takes it for complete."""
    if path.is_dir():
        (path / META).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def contents(cache: ArtifactCache) -> list[Content]:
    """Count values, unfinished trainings and bytes by kind of stage. Raises `CacheError`."""
    rows = []
    with cache.writing():
        folders = stage_folders(cache.root)
        for kind in dict.fromkeys(folder.parent.name for folder in folders):
            group = [folder for folder in folders if folder.parent.name == kind]
            values = sum((folder / META).is_file() for folder in group)
            unfinished = sum(map(has_checkpoint, group))
            rows.append(Content(kind, values, unfinished, sum(map(size_of, group))))
    return rows


def has_checkpoint(folder: Path) -> bool:
    return any((folder / WORK).glob("checkpoint-*"))
