"""What the model predicts for new images, and which of it is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gvr_bench.core.errors import UsageError
from gvr_bench.core.near_names import did_you_mean
from gvr_bench.core.types import Bools, Bytes, Floats, Ints, Task
from gvr_bench.data.stored_images import to_float


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the model makes of n images.

    `values` (n, K) are activated, `predictions` (n, K) the same in the task's unit;
    `reconstruction` (n, C, H, W) in [-1, 1]. `error` and `distance` (n,) are as in `OodReference`.
    These three are None without a decoder.
    """

    values: Floats
    predictions: Floats
    reconstruction: Floats | None = None
    error: Floats | None = None
    distance: Floats | None = None


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """Images `pixels` (n, C, H, W) uint8, and the outputs `source` and `target` (n,) to explain."""

    pixels: Bytes
    source: Ints
    target: Ints

    def images(self) -> Tensor:
        """Return the images as networks read them: (n, C, H, W) in [-1, 1]."""
        return to_float(torch.from_numpy(self.pixels))


@dataclass(frozen=True)
class TargetSelection:
    """The outputs to explain and the class to reach, by position.

    Without outputs, everything that the model predicts is explained.
    """

    outputs: tuple[int, ...] = ()
    target_class: int | None = None

    @classmethod
    def by_name(
        cls, task: Task, outputs: Sequence[str], target_class: str | None
    ) -> TargetSelection:
        """Look names up. Raises `UsageError`."""
        if target_class is not None and task.kind != "multiclass":
            raise UsageError(
                "a target class is for tasks with classes, and this model predicts "
                f"{', '.join(task.outputs)}; leave it out"
            )
        named = dict.fromkeys(_position(task, name) for name in outputs)
        return cls(tuple(named), None if target_class is None else _position(task, target_class))

    def pairs(
        self, task: Task, values: Floats, threshold: Floats
    ) -> tuple[list[tuple[int, int]], str]:
        """Return (source, target) of each output to explain in one image, or why there is none.

        `values` (K,) are activated predictions, `threshold` (K,) where they count as positive.
        """
        if task.kind != "multiclass":
            chosen = self.outputs or tuple(np.flatnonzero(values >= threshold).tolist())
            if chosen:
                return [(k, k) for k in chosen], ""
            highest = task.outputs[int(np.argmax(values - threshold))]
            return [], (
                f"the model does not predict {' or '.join(task.outputs)}: nothing to explain; what "
                f"speaks for {highest} all the same is shown with --output {highest}"
            )
        order = np.argsort(-values, kind="stable").tolist()
        sources = self.outputs or (order[0],)
        pairs = [(k, self._target_of(task, k, order)) for k in sources]
        pairs = [(source, target) for source, target in pairs if source != target]
        if pairs:
            return pairs, ""
        names = ", ".join(task.outputs[k] for k in sources)
        return [], f"the target class {names} is already predicted: nothing to explain"

    def _target_of(self, task: Task, source: int, order: Sequence[int]) -> int:
        """Return the class to reach: the user's, the task's, or the most likely other one."""
        if self.target_class is not None:
            return self.target_class
        if task.target is not None and task.target != source:
            return task.target
        return next(k for k in order if k != source)


def predicts(task: Task, values: Floats, source: Ints, threshold: Floats) -> Bools:
    """Whether the model predicts the output `source` (n,) of each row of `values` (n, K): (n,)."""
    if task.kind == "multiclass":
        return np.asarray(values.argmax(axis=1) == source)
    return np.asarray(values[np.arange(len(source)), source] >= threshold[source])


def _position(task: Task, name: str) -> int:
    if name not in task.outputs:
        what = "class" if task.kind == "multiclass" else "output"
        raise UsageError(f"the model has no {what} '{name}'{did_you_mean(name, task.outputs)}")
    return task.outputs.index(name)
