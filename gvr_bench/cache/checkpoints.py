"""Checkpoints of trainings, and other files of work in progress that may be damaged.

Their names end in the digest of their content, so that damage is noticed and the file ignored.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gvr_bench.cache.hdf5 import read_arrays, write_arrays
from gvr_bench.cache.integrity import sha256
from gvr_bench.cache.serialization import read_state, replacing, write_state
from gvr_bench.core.errors import CacheError
from gvr_bench.core.interrupts import Stop

Saved = tuple[int, dict[str, Any], list[dict[str, float]]]  # step, state, history


class Format(NamedTuple):
    suffix: str
    write: Callable[[Path, Any], None]
    read: Callable[[Path], Any]


STATE = Format(".safetensors", write_state, read_state)
ARRAYS = Format(".h5", write_arrays, read_arrays)


def write_hashed(work: Path, stem: str, content: Any, fmt: Format) -> Path | None:
    """Write content as `<work>/<stem>-<digest><suffix>`; return where.

    None where the folder is gone, because another process has completed the stage. Raises
    `CacheError` where the file system refuses.
    """
    written = work / f"{stem}-{secrets.token_hex(4)}.partial"
    try:
        fmt.write(written, content)
        path = work / f"{stem}-{sha256(written)[:16]}{fmt.suffix}"
        with replacing(path) as partial:
            written.replace(partial)
    except (FileNotFoundError, CacheError) as error:
        if isinstance(error, CacheError) and not isinstance(error.__cause__, FileNotFoundError):
            raise
        return None
    return path


def read_hashed(path: Path, fmt: Format) -> Any:
    """Read such a file; None where it is not what was written."""
    try:
        if sha256(path)[:16] != path.stem.rpartition("-")[2]:
            return None
        return fmt.read(path)
    except (OSError, CacheError):
        return None


class FileCheckpoints:
    """Checkpoints of one stage in the folder `work`, at most every `seconds`.

    `made_from` are digests of the training's inputs: a checkpoint of other inputs is ignored.
    """

    def __init__(
        self,
        work: Path,
        seconds: float,
        made_from: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.work = work
        self.seconds = seconds
        self.made_from = dict(made_from or {})
        self.stop = stop or Stop()
        self.last = time.monotonic()

    @property
    def files(self) -> list[Path]:
        """The latest checkpoint first; there are more only where saving was cut short."""
        return sorted(self.work.glob("checkpoint-*.safetensors"), key=_step, reverse=True)

    @contextlib.contextmanager
    def looping(self) -> Iterator[None]:
        """Delay a signal to the end of a step, where `due` and `save` act on it."""
        with self.stop.later():
            yield

    def due(self) -> bool:
        return bool(self.stop.number) or time.monotonic() - self.last >= self.seconds

    def load(self) -> Saved | None:
        """Return step, state and history of the latest intact checkpoint, if there is one."""
        for path in self.files:
            tree = read_hashed(path, STATE)
            with contextlib.suppress(KeyError, TypeError):  # a file of another program
                if tree["made_from"] == self.made_from:
                    return tree["step"], tree["state"], tree["history"]
        return None

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        """Replace the checkpoint. Raises `CacheError`, or `Stopped` after a signal."""
        tree = {"step": step, "state": state, "history": history, "made_from": self.made_from}
        path = write_hashed(self.work, f"checkpoint-{step}", tree, STATE)
        for old in self.files if path else ():
            if old != path:
                old.unlink(missing_ok=True)
        self.last = time.monotonic()
        self.stop.check()


def _step(path: Path) -> int:
    step = path.stem.split("-")[1]
    return int(step) if step.isdigit() else -1
