"""Checkpoints of a training on disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gvr_bench.cache.hashed_files import STATE, read_sealed, write_sealed
from gvr_bench.core.interrupts import Stop

Saved = tuple[int, dict[str, Any], list[dict[str, float]]]  # step, state, history


class FileCheckpoints:
    """Checkpoints of one stage in the folder `work`, at most every `seconds`.

    `made_from` are digests of what the training reads: a checkpoint of a training on something else
    is ignored.
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
        tree = read_sealed(path, STATE)
        try:
            saved = tree["step"], tree["state"], tree["history"]
            return saved if tree["made_from"] == self.made_from else None
        except (KeyError, TypeError):
            return None

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        """Replace the last checkpoint. Raises `CacheError`, or `Stopped` where a signal waits."""
        tree = {"step": step, "state": state, "history": history, "made_from": self.made_from}
        path = write_sealed(self.work, f"checkpoint-{step}", tree, STATE)
        for old in self.files if path else ():
            if old != path:
                old.unlink(missing_ok=True)
        self.last = time.monotonic()
        self.stop.check()


def _step(path: Path) -> int:
    """Return the step that a checkpoint's name tells, -1 where it tells none."""
    step = path.stem.split("-")[1]
    return int(step) if step.isdigit() else -1
