"""The cache: one folder per stage, addressed by its key; complete where it holds `meta.json`.

```
<cache>/<kind>/<name>-<key>/   weights.safetensors, *.h5, *.json   the value
                               meta.json      provenance and checksums, renamed into place last
                               error.json     the last failure
                               work/          checkpoints, until the stage is complete
<cache>/drafts/<key>-<writer>/                what a process has written of a value so far
<cache>/locks/<key>.lock       held while computing; its time is that of the last use
```

Trained networks that come with the package lie in a folder of the same layout beside this module;
they are read where the cache holds no value of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.integrity import (
    ERROR,
    META,
    WORK,
    Meta,
    digest,
    file_fault,
    read_meta,
    size_fault,
    sums,
    told,
    value_fault,
    value_files,
    write_meta,
)
from gvr_bench.cache.locks import locked, silent
from gvr_bench.cache.serialization import write_json
from gvr_bench.cache.staging import Draft, move, sweep, writer
from gvr_bench.core.errors import CacheError
from gvr_bench.core.stage import Stage

__all__ = [
    "ERROR",
    "META",
    "PRETRAINED",
    "WORK",
    "ArtifactCache",
    "CorruptFileError",
    "FileCheckpoints",
]

PRETRAINED = Path(__file__).parents[1] / "pretrained"
DRAFTS, LOCKS = "drafts", "locks"
FULL = (errno.ENOSPC, errno.EDQUOT)


class CorruptFileError(CacheError):
    """A stage's value is not what was written."""

    def __init__(self, stage: Stage, folder: Path, fault: str) -> None:
        super().__init__(f"damaged in {folder}: {fault}")
        self.stage, self.folder, self.fault = stage, folder, fault


def default_cache_dir() -> Path:
    """`$GVR_BENCH_CACHE`, or the user's cache folder."""
    given = os.environ.get("GVR_BENCH_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("gvr-bench")) / "v2"


class ArtifactCache:
    """Values of stages under one root folder, and those that come with the package."""

    def __init__(self, root: Path, pretrained: Path = PRETRAINED) -> None:
        self.root = root
        self.pretrained = pretrained
        self.invalidated: set[str] = set()  # keys whose values do not count until computed again
        self.drafts: dict[str, Draft] = {}
        self.checked: set[Path] = set()  # files whose content is what was written
        self.writer = writer()

    def prepare(self) -> None:
        """Make sure that the cache can be written. Raises `CacheError`."""
        probe = self.root / f".probe-{os.getpid()}"
        with self.writing():
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"gvr-bench")
            probe.unlink()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a refusal of the file system into a `CacheError`."""
        try:
            yield
        except OSError as error:
            space = "free some space, or " if error.errno in FULL else ""
            raise CacheError(
                f"cannot write the cache {self.root}: {error.strerror or error}; "
                f"{space}choose another folder with --cache-dir DIR"
            ) from error

    def write_dir(self, stage: Stage) -> Path:
        """Return where a stage's own value lies, or will."""
        return self.root / subfolder(stage)

    def folder(self, stage: Stage) -> Path:
        """Return where a stage's value is read."""
        own = self.write_dir(stage)
        if (own / META).is_file() or stage.key in self.invalidated:
            return own
        pretrained = self.pretrained / subfolder(stage)
        return pretrained if (pretrained / META).is_file() else own

    def output(self, stage: Stage, name: str) -> Path:
        """Return where to write a file of a value, for which the stage should be claimed."""
        draft = self.drafts.get(stage.key)
        if draft is None:
            return self.write_dir(stage) / name
        draft.names.add(name)
        return draft.folder / name

    def file(self, stage: Stage, name: str) -> Path:
        """Return a file of a value, whose content is checked when it is first asked for.

        Reading takes longer than the check, so only what is read is checked, once per process.
        Raises `CorruptFileError`.
        """
        folder = self.folder(stage)
        path = folder / name
        if path not in self.checked or not path.is_file():
            fault = self._fault(folder, name)
            if fault:
                raise CorruptFileError(stage, folder, fault)
            self.checked.add(path)
        return path

    def _fault(self, folder: Path, name: str) -> str:
        """Say how a file differs from what was written."""
        if not (folder / META).is_file():
            return "" if (folder / name).is_file() else "it is gone"
        try:
            meta, _ = read_meta(folder)
        except CacheError as error:
            return str(error)
        return file_fault(folder, meta, name)

    def has(self, stage: Stage) -> bool:
        """Whether the stage is complete, and was made from its inputs as they are now.

        Inputs that were computed again and came out differently make it stale; inputs that are
        gone do not. Of a value that came with the package only its networks count: images are
        written here, by other releases of the libraries, and their key vouches for them.
        """
        meta, _ = self.inspect(stage)
        if meta is None:
            return False
        own = self.folder(stage) == self.write_dir(stage)
        inputs = [i for i in stage.inputs if own or i.kind != "data"]
        return all(meta.made_from.get(key, now) == now for key, now in self.digests(inputs).items())

    def inspect(self, stage: Stage) -> tuple[Meta | None, str]:
        """Return what is told of a value, or why that cannot be: damage by the sizes of its files.

        A value that is absent is no damage.
        """
        folder = self.folder(stage)
        if stage.key in self.invalidated or not (folder / META).is_file():
            return None, ""
        try:
            meta, _ = read_meta(folder)
        except CacheError as error:
            return None, str(error)
        fault = "" if meta.key == stage.key else f"{META} is that of {meta.key[:16]}"
        fault = fault or size_fault(folder, meta)
        return (None, f"damaged in {folder}: {fault}") if fault else (meta, "")

    def digests(self, stages: Iterable[Stage]) -> dict[str, str]:
        """Digests of those stages that are in the cache, by key."""
        found = {stage.key: self.inspect(stage)[0] for stage in stages}
        return {key: meta.digest for key, meta in found.items() if meta and meta.digest}

    def meta(self, stage: Stage) -> dict[str, Any]:
        """Provenance of a complete stage. Raises `CacheError`."""
        return read_meta(self.folder(stage))[1]

    def touch(self, stage: Stage) -> None:
        """Keep when a stage was last part of a run."""
        if self.folder(stage) == self.write_dir(stage):
            with contextlib.suppress(OSError):  # a cache that is only read stays as it is
                self.lock_file(stage.key).touch()

    def lock_file(self, key: str) -> Path:
        """Return the file that is locked while a stage is computed."""
        return self.root / LOCKS / f"{key[:16]}.lock"

    @contextlib.contextmanager
    def lock(self, stage: Stage, waiting: Callable[[], None] = silent) -> Iterator[Path]:
        """Hold the stage against other processes while computing it; yields its draft.

        The lock is advisory and dies with its owner: losing it costs double work only, since each
        process writes a draft of its own and the checksums are of that. `waiting` is called where
        another process holds it.
        """
        draft = Draft(self.root / DRAFTS / f"{stage.key[:16]}-{self.writer}", {})
        with contextlib.ExitStack() as held:
            with self.writing():
                alone = held.enter_context(locked(self.lock_file(stage.key), waiting))
                if alone:
                    self.sweep(stage)
                draft.folder.mkdir(parents=True, exist_ok=True)
                (self.write_dir(stage) / WORK).mkdir(parents=True, exist_ok=True)
            draft.made_from = self.digests(stage.inputs)
            self.drafts[stage.key] = draft
            try:
                yield draft.folder
            finally:
                del self.drafts[stage.key]
                shutil.rmtree(draft.folder, ignore_errors=True)

    def sweep(self, stage: Stage) -> None:
        """Remove what killed processes left of a stage, but its checkpoint; needs its lock."""
        sweep(self.root / DRAFTS, stage.key[:16])
        for left in (self.write_dir(stage) / WORK).glob("*.partial"):
            left.unlink(missing_ok=True)

    def commit(self, stage: Stage, provenance: dict[str, Any]) -> None:
        """Declare the draft whole, with checksums of it and of what it was made from.

        Raises `CorruptFileError` where files of the draft are gone, and `CacheError`.
        """
        draft, place = self.drafts[stage.key], self.write_dir(stage)
        with self.writing():
            files = sums(value_files(draft.folder)) if draft.folder.is_dir() else {}
            if not draft.names <= files.keys():
                raise CorruptFileError(stage, draft.folder, "another process removed it")
            value = {"files": told(files), "digest": digest(files), "made_from": draft.made_from}
            write_meta(draft.folder, {**stage.describe(), **provenance, **value})
            try:
                move(draft.folder, place, files.keys())
            except FileNotFoundError as error:  # removed by a process that has lost its lock
                raise CorruptFileError(stage, place, "another process removed it") from error
        self.invalidated.discard(stage.key)
        self.checked |= {place / name for name in files}
        shutil.rmtree(place / WORK, ignore_errors=True)

    def fail(self, stage: Stage, error: BaseException, trace: str) -> None:
        """Keep the reason of a failure; the value stays absent."""
        content = {"type": type(error).__name__, "message": str(error), "traceback": trace}
        with contextlib.suppress(CacheError):
            write_json(self.write_dir(stage) / ERROR, content)

    def invalidate(self, stage: Stage) -> None:
        """Let a stored value not count until it is computed again, from the start."""
        self.invalidated.add(stage.key)
        shutil.rmtree(self.write_dir(stage) / WORK, ignore_errors=True)

    def forget(self, stage: Stage) -> None:
        """Remove a stage, so that it is computed again."""
        folder = self.write_dir(stage)
        with self.writing():
            (folder / META).unlink(missing_ok=True)  # first: a partly removed value is never whole
        self.invalidated.add(stage.key)
        shutil.rmtree(folder, ignore_errors=True)

    def delete_if_corrupt(self, stage: Stage, waiting: Callable[[], None] = silent) -> None:
        """Remove a damaged value, unless another process has computed it again meanwhile."""
        with contextlib.ExitStack() as held:
            with self.writing():
                held.enter_context(locked(self.lock_file(stage.key), waiting))
            folder = self.folder(stage)
            with contextlib.suppress(CacheError):
                if not value_fault(folder, read_meta(folder)[0]):
                    return
            self.forget(stage)


def subfolder(stage: Stage) -> Path:
    """Return where a stage lies in any cache."""
    return Path(stage.kind) / f"{stage.name}-{stage.key[:16]}"
