"""Checkpoints of a training on disk."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gvr_bench.errors import StoreError
from gvr_bench.formats import read_state, replacing, write_state
from gvr_bench.stopping import Stop
from gvr_bench.storage.integrity import sha256

Saved = tuple[int, dict[str, Any], list[dict[str, float]]]  # step, state, history


class FileCheckpoints:
    """Checkpoints of one stage in the folder `work`, at most every `seconds`.

    A file's name ends in its digest, so that a damaged one is never taken up. `made_from` are
    digests of what the training reads: a checkpoint of a training on something else is ignored.
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
        """What is saved, the last first; more than one only where saving was cut short."""
        return sorted(self.work.glob("checkpoint-*.safetensors"), key=_step, reverse=True)

    @contextlib.contextmanager
    def looping(self) -> Iterator[None]:
        """Let a signal wait for the end of a step, where `due` and `save` answer it."""
        with self.stop.later():
            yield

    def due(self) -> bool:
        """Whether it is time to save, or to stop."""
        return bool(self.stop.asked) or time.monotonic() - self.last >= self.seconds

    def load(self) -> Saved | None:
        """Return step, state and history of the last checkpoint, if there is one."""
        for path in self.files:
            found = self._read(path)
            if found is not None:
                return found
        return None  # absent or damaged: training starts over, which gives the same result

    def _read(self, path: Path) -> Saved | None:
        """Read one checkpoint; None where it is not what was written."""
        try:
            if sha256(path)[:16] != path.stem.rpartition("-")[2]:
                return None
            tree = read_state(path)
            saved = tree["step"], tree["state"], tree["history"]
            return saved if tree["made_from"] == self.made_from else None
        except (OSError, StoreError, ValueError, KeyError, TypeError):
            return None

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        """Replace the last checkpoint. Raises `StoreError`, or `Stopped` where a signal waits."""
        tree = {"step": step, "state": state, "history": history, "made_from": self.made_from}
        try:
            self._write(step, tree)
        except (FileNotFoundError, StoreError) as error:
            if isinstance(error, StoreError) and not isinstance(error.__cause__, FileNotFoundError):
                raise  # else another process has completed the stage, and the folder is gone
        self.last = time.monotonic()
        self.stop.check()

    def _write(self, step: int, tree: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove those before. Raises `OSError` or `StoreError`."""
        written = self.work / f"checkpoint-{os.getpid()}.partial"
        write_state(written, tree)
        path = self.work / f"checkpoint-{step}-{sha256(written)[:16]}.safetensors"
        with replacing(path) as partial:
            written.replace(partial)
        for old in self.files:
            if old != path:
                old.unlink(missing_ok=True)


def _step(path: Path) -> int:
    """Return the step that a checkpoint's name tells, -1 where it tells none."""
    step = path.stem.split("-")[1]
    return int(step) if step.isdigit() else -1
