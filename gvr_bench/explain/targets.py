"""What the model predicts for new images, and which of it is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gvr_bench.core.errors import UsageError, did_you_mean
from gvr_bench.core.types import Model, Task
from gvr_bench.data.stored_images import to_float
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps.oracle import spread
from gvr_bench.results.explained_images import OOD_QUANTILE, ood_warning

MAX_REFERENCE_IMAGES = 1000

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the model makes of n images.

    `values` (n, K) are activated, `predictions` (n, K) the same in the task's unit;
    `reconstruction` (n, C, H, W) in [-1, 1]. `error` and `distance` (n,) are as in `OodReference`.
    """

    values: Floats
    predictions: Floats
    reconstruction: Floats
    error: Floats
    distance: Floats


@dataclass(frozen=True)
class OodReference:
    """How close test images of a run are to what its models were trained on.

    `error` is the mean absolute difference between an image and its reconstruction, on the scale
    from -1 to 1. An image that is emptier than any other is reconstructed too well to be noticed by
    it, therefore `distance`: the Mahalanobis distance of its latent from those of the training
    images. Each is the `OOD_QUANTILE` over `images` test images.
    """

    covariance: Any
    error: float
    distance: float
    images: int

    @classmethod
    @torch.no_grad()
    def measure(cls, stage_ctx: StageContext, model: Model) -> OodReference:
        """Measure test images of the run that a head stage belongs to."""
        from sklearn.covariance import LedoitWolf  # slow to import

        images = stage_ctx.images("test")
        arrays = stage_ctx.arrays("latents", "train/z", "train/copy", "test/z")
        rows = spread(len(images), MAX_REFERENCE_IMAGES)
        z = arrays["test/z"][rows.numpy()]
        errors = []
        for part in stage_ctx.ctx.batches(len(rows)):
            decoded = model.generator(torch.from_numpy(z[part]).to(stage_ctx.ctx.device))
            errors.append(reconstruction_error(decoded, images[rows[part]]))
        # Shrinkage keeps the covariance invertible with fewer images than dimensions.
        covariance = LedoitWolf().fit(arrays["train/z"][arrays["train/copy"] == 0])
        distances = np.sqrt(covariance.mahalanobis(z))
        error, distance = (
            float(np.quantile(values, OOD_QUANTILE))
            for values in (np.concatenate(errors), distances)
        )
        return cls(covariance, error, distance, len(rows))

    def distances(self, z: Floats) -> Floats:
        """Latents (n, D) -> distances (n,)."""
        return np.asarray(np.sqrt(self.covariance.mahalanobis(z)), np.float32)

    def warning(self, predictions: Predictions, i: int) -> str:
        """Say how image `i` differs from those of the run; empty where it does not."""
        error, distance = float(predictions.error[i]), float(predictions.distance[i])
        return ood_warning(error, self.error, distance, self.distance)


def reconstruction_error(decoded: Tensor, images: Tensor) -> Floats:
    """Mean absolute difference of images (n, C, H, W): (n,)."""
    error: Floats = (decoded - images).abs().flatten(1).mean(1).cpu().numpy()
    return error


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """Images `pixels` (n, C, H, W) uint8 with the outputs to explain, `source` and `target`
    (n,).
    """

    pixels: NDArray[np.uint8]
    source: NDArray[np.int64]
    target: NDArray[np.int64]

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
            return [], f"the model does not predict {' or '.join(task.outputs)}: nothing to explain"
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


def predicts(
    task: Task, values: Floats, source: NDArray[np.int64], threshold: Floats
) -> NDArray[np.bool_]:
    """Whether the model predicts the output `source` (n,) of each row of `values` (n, K): (n,)."""
    if task.kind == "multiclass":
        return np.asarray(values.argmax(axis=1) == source)
    return np.asarray(values[np.arange(len(source)), source] >= threshold[source])


def _position(task: Task, name: str) -> int:
    if name not in task.outputs:
        what = "class" if task.kind == "multiclass" else "output"
        raise UsageError(f"the model has no {what} '{name}'{did_you_mean(name, task.outputs)}")
    return task.outputs.index(name)
