"""What is asked about an image: by the user, or because the model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.core.errors import UsageError, did_you_mean
from gvr_bench.core.types import Task
from gvr_bench.data.stored_images import to_float


@dataclass(frozen=True)
class TargetSelection:
    """What the user wants to know: outputs, and the class to reach, by position.

    No outputs stand for all that the model sees.
    """

    findings: tuple[int, ...] = ()
    to: int | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model makes of n images before anybody asks.

    `values` (n, K) are activated, `predictions` (n, K) the same in the task's unit;
    `reconstruction` (n, C, H, W) in [-1, 1]. `error` and `distance` (n,) are as in `OodReference`.
    """

    values: NDArray[np.float32]
    predictions: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    error: NDArray[np.float32]
    distance: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """What is asked: `pixels` (n, C, H, W) uint8, the outputs `source` and `target` (n,) int64."""

    pixels: NDArray[np.uint8]
    source: NDArray[np.int64]
    target: NDArray[np.int64]

    def images(self) -> Tensor:
        """The images as networks read them: (n, C, H, W) in [-1, 1]."""
        return to_float(torch.from_numpy(self.pixels))


def wish_of(task: Task, findings: Sequence[str], to: str | None) -> TargetSelection:
    """Look names up. Raises `UsageError`."""
    if to is not None and task.kind != "multiclass":
        raise UsageError(
            f"'to' chooses among classes, and this model predicts {', '.join(task.outputs)}; "
            "leave it out"
        )
    named = dict.fromkeys(_position(task, name) for name in findings)
    return TargetSelection(tuple(named), None if to is None else _position(task, to))


def _position(task: Task, name: str) -> int:
    if name not in task.outputs:
        what = "class" if task.kind == "multiclass" else "finding"
        raise UsageError(f"the model knows no {what} '{name}'{did_you_mean(name, task.outputs)}")
    return task.outputs.index(name)


def questions(
    task: Task, wish: TargetSelection, values: NDArray[np.float32], threshold: NDArray[np.float32]
) -> tuple[list[tuple[int, int]], str]:
    """Return (source, target) of all that is asked about an image, or why nothing is.

    `values` (K,) are its activated predictions and `threshold` (K,) where they count as positive.
    """
    if task.kind != "multiclass":
        seen = tuple(np.flatnonzero(values >= threshold).tolist())
        asked = [(k, k) for k in wish.findings or seen]
        names = " or ".join(task.outputs)
        return asked, "" if asked else f"the model does not see {names}: nothing to explain"
    order = np.argsort(-values, kind="stable").tolist()
    sources = wish.findings or (order[0],)
    pairs = [(k, _target(task, wish, k, order)) for k in sources]
    asked = [(k, target) for k, target in pairs if k != target]
    names = ", ".join(task.outputs[k] for k in sources)
    return asked, "" if asked else f"it is to turn into {names}, which the model sees already"


def _target(task: Task, wish: TargetSelection, source: int, order: Sequence[int]) -> int:
    """Return the class to reach: the wanted one, the task's, or the likeliest other."""
    if wish.to is not None:
        return wish.to
    if task.target is not None and task.target != source:
        return task.target
    return next(k for k in order if k != source)
