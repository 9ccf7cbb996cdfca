"""Models made up so that what they see is known, and inputs of metrics about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from made_up_inputs import BINARY
from torch import Tensor, nn

from gvr_bench.core.types import ExplanationTarget, Model, Task
from gvr_bench.metrics.faithfulness import FaithfulnessInput
from gvr_bench.metrics.robustness import RobustnessInput

BNP = Task("regression", ("BNP",), threshold=0.5)
CLASSES = Task("multiclass", ("4", "9"), source=1, target=0)


class Outputs(nn.Module):
    """One output per row of weights (K, C, H, W): the weighted sum of the pixels' density.

    Density is 0 where a pixel is black and 1 where it is white.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights
        self.largest_batch = 0

    def forward(self, x: Tensor) -> Tensor:
        """Weigh, and count."""
        self.largest_batch = max(self.largest_batch, len(x))
        return torch.einsum("nchw,kchw->nk", (x + 1) / 2, self.weights)


class Blank(nn.Module):
    """A decoder (N, D) -> (N, C, H, W) that draws the same grey level everywhere."""

    def __init__(self, shape: Sequence[int], level: float) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.level = level

    def forward(self, z: Tensor) -> Tensor:
        """Draw."""
        return torch.full((len(z), *self.shape), self.level)


@dataclass(frozen=True)
class Seen(FaithfulnessInput, RobustnessInput):
    """What robustness and faithfulness see."""


def model_of(weights: Tensor, drawn: float = -1.0) -> Model:
    """A model whose outputs before activation are weighted sums of density.

    Its decoder draws one level of grey.
    """
    return Model(Outputs(weights), Blank(weights.shape[1:], drawn), nn.Identity())


def target_of(
    task: Task, n: int, threshold: float = 0.5, reference_value: float = 0.0
) -> ExplanationTarget:
    """The target of n cases: to leave the last class, or to lower the only output."""
    source, target = task.source or 0, task.target or 0
    return ExplanationTarget(
        task,
        torch.full((n,), source),
        torch.full((n,), target),
        torch.full((n,), threshold),
        torch.full((n,), reference_value),
    )


def about(
    weights: Tensor, image: Tensor, attribution: Tensor, task: Task = BNP, **known: Any
) -> Seen:
    """What robustness and faithfulness see of a linear model: weights (K, C, H, W)."""
    counterfactual, baseline = known.pop("counterfactual", None), known.pop("baseline", None)
    return Seen(
        attribution=attribution,
        perturbed=attribution[:, None],
        model=model_of(weights),
        target=target_of(task, len(image), **known),
        image=image,
        counterfactual=counterfactual,
        baseline=baseline,
    )


def sum_of(*pixels: tuple[int, int], size: int = 10) -> Tensor:
    """Weights (1, 1, H, W) of a model that is 1 where all of these pixels are white."""
    weights = torch.zeros(1, 1, size, size)
    for pixel in pixels:
        weights[0, 0][pixel] = 1 / len(pixels)
    return weights


def convolving(n: int, size: int, task: Task = BINARY, channels: int = 1, seed: int = 0) -> Seen:
    """The same of a small convolutional model, with nothing related to anything."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 4, 2, 1), nn.SELU(), nn.Conv2d(32, 64, 4, 2, 1), nn.SELU(),
            nn.Flatten(), nn.Linear(64 * (size // 4) ** 2, 16),
        )  # fmt: skip
        head = nn.Linear(16, len(task.outputs))
        generator = nn.Sequential(
            nn.Linear(16, channels * size**2), nn.Tanh(), nn.Unflatten(1, (channels, size, size))
        )
    model = Model(encoder, generator, head)
    image, changed = torch.empty(2, n, channels, size, size).uniform_(-1, 1, generator=rng)
    with torch.no_grad():
        level = float(target_of(task, n).source_output(model(image)).min()) - 0.1
    attribution = torch.randn(n, size, size, generator=rng)
    return Seen(
        attribution=attribution,
        perturbed=attribution[:, None],
        image=image,
        counterfactual=changed,
        baseline=-1.0,
        model=model,
        target=target_of(task, n, reference_value=level),
    )
