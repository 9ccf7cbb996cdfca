"""The store: one folder per stage, addressed by its key; complete where it holds `meta.json`.

```
<store>/<kind>/<name>-<key>/   weights.safetensors, *.h5, *.json   the value
                               meta.json      provenance, renamed into place last
                               error.json     the last failure
                               work/          checkpoints, until the stage is complete
```

Trained networks that come with the package lie in a folder of the same layout beside this module;
they are read where the store holds no value of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from gvr_bench.errors import StoreError
from gvr_bench.formats import read_json, read_state, write_json, write_state
from gvr_bench.stages import Stage

META, ERROR, WORK = "meta.json", "error.json", "work"
SHIPPED = Path(__file__).parent / "shipped"


def default_root() -> Path:
    """`$GVR_BENCH_STORE`, or the user's cache folder."""
    given = os.environ.get("GVR_BENCH_STORE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("gvr-bench"))


class Store:
    """Values of stages under one root folder, and those that come with the package."""

    def __init__(self, root: Path, shipped: Path = SHIPPED) -> None:
        self.root = root
        self.shipped = shipped
        self.forgotten: set[str] = set()

    def prepare(self) -> None:
        """Make sure that the store can be written. Raises `StoreError`."""
        probe = self.root / f".probe-{os.getpid()}"
        with self.writing():
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"gvr-bench")
            probe.unlink()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a refusal of the file system into a `StoreError`."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write the store {self.root}: {error.strerror or error}; "
                "choose another folder with --store DIR"
            ) from error

    def place(self, stage: Stage) -> Path:
        """Return where a stage's value is computed."""
        return self.root / subfolder(stage)

    def folder(self, stage: Stage) -> Path:
        """Return where a stage's value lies, or will."""
        own = self.place(stage)
        if (own / META).is_file() or stage.key in self.forgotten:
            return own
        shipped = self.shipped / subfolder(stage)
        return shipped if (shipped / META).is_file() else own

    def has(self, stage: Stage) -> bool:
        """Whether the stage is complete, and was made from its inputs as they are now.

        Inputs that were computed again and came out differently make it stale; inputs that are
        gone do not. Of a value that came with the package only its networks count: images are
        written here, by other releases of the libraries, and their key vouches for them.
        """
        folder = self.folder(stage)
        if not (folder / META).is_file():
            return False
        made_from = self.meta(stage)["made_from"]
        own = folder == self.place(stage)
        inputs = [i for i in stage.inputs if own or i.kind != "data"]
        return all(made_from[key] == now for key, now in self.digests(inputs).items())

    def digests(self, stages: Iterable[Stage]) -> dict[str, str]:
        """Digests of those stages that are in the store, by key."""
        there = [stage for stage in stages if (self.folder(stage) / META).is_file()]
        return {stage.key: self.meta(stage)["digest"] for stage in there}

    def meta(self, stage: Stage) -> dict[str, Any]:
        """Provenance of a complete stage."""
        meta: dict[str, Any] = read_json(self.folder(stage) / META)
        return meta

    @contextlib.contextmanager
    def claim(self, stage: Stage) -> Iterator[Path]:
        """Hold the stage against other processes while computing it; yields its folder.

        The lock is advisory and dies with its owner: losing it costs double work only, since
        every file is renamed into place.
        """
        locks, folder = self.root / "locks", self.place(stage)
        lock = filelock.FileLock(locks / f"{stage.key[:16]}.lock")
        with contextlib.ExitStack() as held:
            with self.writing():
                locks.mkdir(parents=True, exist_ok=True)
                held.enter_context(lock)
                (folder / WORK).mkdir(parents=True, exist_ok=True)
            yield folder

    def commit(self, stage: Stage, provenance: dict[str, Any]) -> None:
        """Declare the value whole, with digests of it and of what it was made from."""
        folder = self.place(stage)
        with self.writing():
            (folder / ERROR).unlink(missing_ok=True)
            value = {"digest": digest(folder), "made_from": self.digests(stage.inputs)}
        write_json(folder / META, {**stage.describe(), **provenance, **value})
        shutil.rmtree(folder / WORK, ignore_errors=True)

    def fail(self, stage: Stage, error: BaseException, trace: str) -> None:
        """Keep the reason of a failure; the value stays absent."""
        content = {"type": type(error).__name__, "message": str(error), "traceback": trace}
        with contextlib.suppress(StoreError):
            write_json(self.place(stage) / ERROR, content)

    def forget(self, stage: Stage) -> None:
        """Remove a stage, so that it is computed again."""
        self.forgotten.add(stage.key)
        folder = self.place(stage)
        with self.writing():
            (folder / META).unlink(missing_ok=True)  # first: a partly removed value is never whole
        shutil.rmtree(folder, ignore_errors=True)


def subfolder(stage: Stage) -> Path:
    """Return where a stage lies in any store."""
    return Path(stage.kind) / f"{stage.name}-{stage.key[:16]}"


def digest(folder: Path) -> str:
    """Return one SHA-256 of all files of a value, by name."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in (META, ERROR):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.name} {content}\n".encode())
    return whole.hexdigest()


class FileCheckpoints:
    """Checkpoints of one stage, in its `work` folder, at most every `seconds`."""

    def __init__(self, work: Path, seconds: float) -> None:
        self.path = work / "checkpoint.safetensors"
        self.seconds = seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last >= self.seconds

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None:
        """Return step, state and history of the last checkpoint, if there is one."""
        if not self.path.is_file():
            return None
        try:
            tree = read_state(self.path)
        except (StoreError, ValueError):
            return None  # damaged: training starts over, which gives the same result
        return tree["step"], tree["state"], tree["history"]

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        """Replace the last checkpoint."""
        write_state(self.path, {"step": step, "state": state, "history": history})
        self.last = time.monotonic()
