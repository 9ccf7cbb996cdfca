"""Training images as the model sees them, for explainers that compare an image with them.

Importing this module imports no torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from gvr_bench.core.types import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import Model, Task

MAX_IMAGES = 2048  # of the training split; enough for a mean, and cheap to encode again


class Reference:
    """At most 2,048 training images with labels, latents and the model's predictions: read-only.

    They lie evenly spread over the training split, in its order: as many with each output as
    without it, as far as there are, or any where none is labelled. All is computed when it is first
    used, by the model that is explained, which has random weights in sanity checks. Tensors are
    copies on the model's device.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        targets: Floats,
        images: Callable[[Tensor], Tensor],
        batch_size: int = 128,
        latents: Callable[[], Tensor] | None = None,
    ) -> None:
        self.task = task
        self._model = model
        self._targets = targets
        self._images = images
        self._batch_size = batch_size
        self._stored_latents = latents

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def targets(self) -> Floats:
        """Labels (M, columns) in the task's unit; NaN where not labelled."""
        return self._targets.copy()

    @property
    def latents(self) -> Tensor:
        """What the model's encoder makes of the images: (M, D).

        Raises `PluginError` where the model has no encoder.
        """
        return self._latents.clone()

    @property
    def outputs(self) -> Tensor:
        """The model's outputs for the images: (M, K)."""
        return self._outputs.clone()

    def images(self, index: Tensor) -> Tensor:
        """Read images by position: (n,) int64 -> (n, C, H, W) in [-1, 1]."""
        return self._images(index)

    def batches(self) -> Iterator[Tensor]:
        """Yield the positions of all images, a batch at a time."""
        import torch

        yield from torch.split(torch.arange(len(self)), self._batch_size)

    @functools.cached_property
    def _latents(self) -> Tensor:
        if self._stored_latents is not None:
            return self._stored_latents()
        return self._computed(self._model.encoder)

    @functools.cached_property
    def _outputs(self) -> Tensor:
        import torch

        if self._model.classifier is not None:
            return self._computed(self._model.classifier)
        with torch.no_grad():
            outputs: Tensor = self._model.head(self._latents)
        return outputs

    def _computed(self, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a network to all images."""
        import torch

        with torch.no_grad():
            return torch.cat([network(self.images(index)).float() for index in self.batches()])


def spread(targets: Floats, task: Task) -> Ints:
    """Choose at most `MAX_IMAGES` rows of a split by its targets (N, columns): (M,), rising.

    Each class, or each side of each output, gets the same share.
    """
    labelled = ~np.isnan(targets)
    positive = task.positives(targets)  # (N, K)
    sides = list(positive.T)
    if task.kind != "multiclass":
        sides += list((labelled & ~positive).T)
    groups = [np.flatnonzero(side) for side in sides if side.any()] or [np.arange(len(targets))]
    share = max(1, MAX_IMAGES // len(groups))
    rows = [group[even_positions(len(group), share)] for group in groups]
    return np.unique(np.concatenate(rows))[:MAX_IMAGES]


def even_positions(n: int, count: int) -> Ints:
    """Return at most `count` of the positions 0..n-1, evenly spaced: (min(n, count),)."""
    count = min(n, count)
    return np.arange(count, dtype=np.int64) * n // count
