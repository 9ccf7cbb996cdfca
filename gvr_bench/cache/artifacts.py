"""The cache: one folder per stage, addressed by its key; complete where it holds `meta.json`.

```
<cache>/<kind>/<name>-<key>/   weights.safetensors, *.h5, *.json   the value
                               meta.json      provenance and checksums, renamed into place last
                               error.json     the last failure
                               work/          checkpoints, until the stage is complete
                                 attempt-<run>-<writer>   a process that computes it, or died in it
                                 invalid-<run>            the value does not count for that run
<cache>/drafts/<key>-<writer>/                what a process has written of a value so far
<cache>/locks/<key>.lock       held while computing; its time is that of the last use
```

Pretrained networks that come with the package lie in a folder of the same layout; they are read
where the cache holds no value of its own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from gvr_bench.cache.integrity import (
    ERROR,
    META,
    WORK,
    Meta,
    checksums,
    file_fault,
    read_meta,
    size_fault,
    value_fault,
    value_files,
    write_meta,
)
from gvr_bench.cache.locks import Busy, locked, silent
from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.errors import CacheError, CorruptStageError
from gvr_bench.core.stage import Stage

PRETRAINED = Path(__file__).parents[1] / "pretrained"
DRAFTS, LOCKS = "drafts", "locks"
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def default_cache_dir() -> Path:
    folder = os.environ.get("GVR_BENCH_CACHE")
    return Path(folder) if folder else Path(platformdirs.user_cache_dir("gvr-bench")) / "v2"


@dataclass
class Draft:
    """What one process has written of a value: where, which files, and from which inputs.

    `lost` counts the processes of the same run that died while they computed it.
    """

    folder: Path
    lost: int = 0
    made_from: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class ArtifactCache:
    """Values of stages under one root folder, and those that come with the package.

    All workers of a run have its `run_id`: they share what is invalidated, failures and losses.
    """

    def __init__(self, root: Path, pretrained: Path = PRETRAINED, run_id: str = "") -> None:
        self.root = root
        self.pretrained = pretrained
        self.run_id = run_id or secrets.token_hex(8)
        self.drafts: dict[str, Draft] = {}
        self.checked: set[Path] = set()  # files whose content is what was written
        self.writer = f"{HOST}-{os.getpid()}-{secrets.token_hex(4)}"

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
            space = "free some space, or " if error.errno in DISK_FULL else ""
            raise CacheError(
                f"cannot write the cache {self.root}: {error.strerror or error}; "
                f"{space}choose another folder with --cache-dir DIR"
            ) from error

    def write_dir(self, stage: Stage) -> Path:
        """Return the folder of a stage in this cache."""
        return self.root / subfolder(stage)

    def folder(self, stage: Stage) -> Path:
        """Return where a stage's value is read: in this cache, or as it comes with the package."""
        own = self.write_dir(stage)
        if (own / META).is_file() or self.is_invalid(stage):
            return own
        pretrained = self.pretrained / subfolder(stage)
        return pretrained if (pretrained / META).is_file() else own

    def output(self, stage: Stage, name: str) -> Path:
        """Return where to write a file of a value; its stage should be locked."""
        draft = self.drafts.get(stage.key)
        if draft is None:
            return self.write_dir(stage) / name
        draft.names.add(name)
        return draft.folder / name

    def file(self, stage: Stage, name: str) -> Path:
        """Return a file of a value, whose content is checked once. Raises `CorruptStageError`."""
        folder = self.folder(stage)
        path = folder / name
        if path not in self.checked or not path.is_file():
            fault = self._fault(folder, name)
            if fault:
                raise CorruptStageError(stage, folder, fault)
            self.checked.add(path)
        return path

    @staticmethod
    def _fault(folder: Path, name: str) -> str:
        if not (folder / META).is_file():
            return "" if (folder / name).is_file() else "it is gone"
        try:
            return file_fault(folder, read_meta(folder)[0], name)
        except CacheError as error:
            return str(error)

    def has(self, stage: Stage) -> bool:
        """Whether the stage is complete, and was computed from its inputs as they are now.

        Inputs that were computed again with another result make it stale; inputs that are gone do
        not. A value that came with the package holds while all networks that it was computed from
        came with it too: images, cases and latents are computed again on each machine.
        """
        return self.value(stage) is not None

    def value(self, stage: Stage) -> Meta | None:
        """Return the `meta.json` of a value that the cache has, None otherwise."""
        meta, _ = self.inspect(stage)
        if meta is None:
            return None
        if not self.is_own(stage):
            networks = [i for i in stage.lineage() if i.kind not in ("data", "cases", "latents")]
            return None if any(map(self.is_own, networks)) else meta
        now = self.digests(stage.inputs.values())
        same = all(meta.made_from.get(key, digest) == digest for key, digest in now.items())
        return meta if same else None

    def is_own(self, stage: Stage) -> bool:
        """Whether the value of a stage is this cache's own, not one that came with the package."""
        return self.folder(stage) == self.write_dir(stage)

    def inspect(self, stage: Stage) -> tuple[Meta | None, str]:
        """Return a value's `meta.json`, None where it is absent or damaged, and the damage."""
        folder = self.folder(stage)
        if not (folder / META).is_file() or self.is_invalid(stage):
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
        metas = {stage.key: self.inspect(stage)[0] for stage in stages}
        return {key: meta.digest for key, meta in metas.items() if meta}

    def meta(self, stage: Stage) -> dict[str, Any]:
        """Provenance of a complete stage. Raises `CacheError`."""
        return read_meta(self.folder(stage))[1]

    def touch(self, stage: Stage) -> None:
        """Record that a stage is part of a run now."""
        if self.is_own(stage):
            with contextlib.suppress(OSError):  # the cache may be read-only
                self.lock_file(stage.key).touch()

    def lock_file(self, key: str) -> Path:
        return lock_file(self.root, key)

    @contextlib.contextmanager
    def lock(self, stage: Stage) -> Iterator[Path | None]:
        """Keep other processes from computing the stage; yields the folder of its draft.

        Yields None where another process has the lock. It is advisory and ends with its owner.
        Losing it costs double work only, since each process writes a draft of its own, with
        checksums of that.
        """
        draft = Draft(self.root / DRAFTS / f"{stage.key[:16]}-{self.writer}")
        work = self.write_dir(stage) / WORK
        attempt = work / f"attempt-{self.run_id}-{self.writer}"
        with contextlib.ExitStack() as stack:
            try:
                with self.writing():
                    if stack.enter_context(locked(self.lock_file(stage.key), None)):
                        self.sweep(stage)
                        draft.lost = len(list(work.glob(f"attempt-{self.run_id}-*")))
                    draft.folder.mkdir(parents=True, exist_ok=True)
                    work.mkdir(parents=True, exist_ok=True)
                    attempt.touch()
            except Busy:
                yield None
                return
            draft.made_from = self.digests(stage.inputs.values())
            self.drafts[stage.key] = draft
            try:
                yield draft.folder
            finally:
                del self.drafts[stage.key]
                shutil.rmtree(draft.folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    attempt.unlink()

    def running(self) -> set[str]:
        """Return the first 16 characters of the keys of stages that processes compute."""
        return {path.name[:16] for path in (self.root / DRAFTS).glob("*")}

    def sweep(self, stage: Stage) -> None:
        """Remove what killed processes left of a stage, but its checkpoint; needs its lock."""
        for draft in (self.root / DRAFTS).glob(f"{stage.key[:16]}-{HOST}-*"):
            if not is_running(int(draft.name.split("-")[2])):  # it may write without the lock
                shutil.rmtree(draft, ignore_errors=True)
        work = self.write_dir(stage) / WORK
        for left in (*work.glob("*.partial"), *work.glob("*.lock")):
            left.unlink(missing_ok=True)

    def commit(self, stage: Stage, provenance: dict[str, Any]) -> None:
        """Make the draft the value of the stage, with checksums of it and of its inputs.

        Raises `CorruptStageError` where files of the draft are gone, and `CacheError`.
        """
        draft, folder = self.drafts[stage.key], self.write_dir(stage)
        removed = CorruptStageError(stage, draft.folder, "another process removed it")
        with self.writing():
            try:
                value = {**checksums(draft.folder), "made_from": draft.made_from}
                if not draft.names <= value["files"].keys():
                    raise removed
                write_meta(draft.folder, {**stage.describe(), **provenance, **value})
                move(draft.folder, folder, value["files"])
            except FileNotFoundError as error:  # removed by a process that has lost its lock
                raise removed from error
        self.checked |= {folder / name for name in value["files"]}
        shutil.rmtree(folder / WORK, ignore_errors=True)

    def fail(
        self, stage: Stage, error: BaseException, trace: str, report: Mapping[str, Any]
    ) -> None:
        """Write the reason of a failure, with a `report` for workers; the value stays absent."""
        about = {"type": type(error).__name__, "message": str(error), "traceback": trace}
        with contextlib.suppress(CacheError):
            write_json(self.write_dir(stage) / ERROR, {**about, **report, "run": self.run_id})

    def failure(self, stage: Stage) -> dict[str, Any] | None:
        """Return what `fail` wrote in this run, None where it wrote nothing."""
        with contextlib.suppress(CacheError):
            content = read_json(self.write_dir(stage) / ERROR)
            if isinstance(content, dict) and content.get("run") == self.run_id:
                return content
        return None

    def invalidate(self, stage: Stage) -> None:
        """Ignore a stored value, and its checkpoint, until this run has computed it again."""
        shutil.rmtree(self.write_dir(stage) / WORK, ignore_errors=True)
        mark = self.invalid_mark(stage)
        with self.writing():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def invalid_mark(self, stage: Stage) -> Path:
        return self.write_dir(stage) / WORK / f"invalid-{self.run_id}"

    def is_invalid(self, stage: Stage) -> bool:
        return self.invalid_mark(stage).is_file()

    def forget(self, stage: Stage) -> None:
        """Remove a stage, so that it is computed again."""
        folder = self.write_dir(stage)
        with self.writing():
            (folder / META).unlink(missing_ok=True)  # first: what is partly removed is incomplete
        shutil.rmtree(folder, ignore_errors=True)
        if (self.pretrained / subfolder(stage) / META).is_file():
            self.invalidate(stage)

    def delete_if_corrupt(self, stage: Stage, waiting: Callable[[], None] = silent) -> None:
        """Remove a damaged value, unless another process has computed it again meanwhile."""
        with contextlib.ExitStack() as stack:
            with self.writing():
                stack.enter_context(locked(self.lock_file(stage.key), waiting))
            folder = self.folder(stage)
            with contextlib.suppress(CacheError):
                if not value_fault(folder, read_meta(folder)[0]):
                    return
            self.forget(stage)


def lock_file(root: Path, key: str) -> Path:
    return root / LOCKS / f"{key[:16]}.lock"


def subfolder(stage: Stage) -> Path:
    return Path(stage.kind) / f"{stage.name}-{stage.key[:16]}"


def move(draft: Path, folder: Path, names: Collection[str]) -> None:
    """Replace a value by a draft. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)  # first: a mixture is incomplete
    for name in names:
        (draft / name).replace(folder / name)
    for old in value_files(folder):
        if old.name not in names:
            old.unlink(missing_ok=True)
    (draft / META).replace(folder / META)
    (folder / ERROR).unlink(missing_ok=True)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:  # no permission: it is another user's
        return error.errno != errno.ESRCH
    return True
