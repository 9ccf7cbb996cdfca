"""Models made up so that what they see is known, and evidence about them."""

from __future__ import annotations

from typing import Any

import torch
from made_up_evidence import BINARY, evidence
from torch import Tensor, nn

from gvr_bench.core.types import ExplanationTarget, Model, Task
from gvr_bench.metrics import Evidence

BNP = Task("regression", ("BNP",), threshold=0.5)
CLASSES = Task("multiclass", ("4", "9"), source=1, target=0)


class Outputs(nn.Module):
    """One output per row of weights (K, C, H, W): the weighted sum of the pixels' density.

    Density is 0 where a pixel is black and 1 where it is white.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights
        self.seen = 0
        self.largest_batch = 0

    def forward(self, x: Tensor) -> Tensor:
        """Weigh, and count."""
        self.seen += len(x)
        self.largest_batch = max(self.largest_batch, len(x))
        return torch.einsum("nchw,kchw->nk", (x + 1) / 2, self.weights)


def model_of(weights: Tensor) -> Model:
    """A model whose outputs before activation are weighted sums of density."""
    return Model(Outputs(weights), nn.Identity(), nn.Identity())


def query_of(
    task: Task, n: int, threshold: float = 0.5, reference_value: float = 0.0
) -> ExplanationTarget:
    """What is asked of n cases: to leave the last class, or to lower the only output."""
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
) -> Evidence:
    """Evidence about a linear model: weights (K, C, H, W), images (N, C, H, W)."""
    asked = {name: known.pop(name) for name in ("threshold", "reference_value") if name in known}
    return evidence(
        task=task,
        image=image,
        reconstruction=image,
        attribution=attribution,
        seconds=torch.zeros(len(image)),
        model=model_of(weights),
        target=query_of(task, len(image), **asked),
        **known,
    )


def sum_of(*pixels: tuple[int, int], size: int = 10) -> Tensor:
    """Weights (1, 1, H, W) of a model that is 1 where all of these pixels are white."""
    weights = torch.zeros(1, 1, size, size)
    for pixel in pixels:
        weights[0, 0][pixel] = 1 / len(pixels)
    return weights


def convolving(
    n: int, size: int, task: Task = BINARY, channels: int = 1, seed: int = 0
) -> Evidence:
    """Evidence about a small convolutional model, with nothing related to anything."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 4, 2, 1), nn.SELU(), nn.Conv2d(32, 64, 4, 2, 1), nn.SELU(),
            nn.Flatten(), nn.Linear(64 * (size // 4) ** 2, 16),
        )  # fmt: skip
        head = nn.Linear(16, len(task.outputs))
    model = Model(encoder, nn.Identity(), head)
    image, made = torch.empty(2, n, channels, size, size).uniform_(-1, 1, generator=rng)
    with torch.no_grad():
        level = float(query_of(task, n).source_output(model(image)).min()) - 0.1
    return evidence(
        task=task,
        image=image,
        reconstruction=image,
        counterfactual=made,
        attribution=torch.randn(n, size, size, generator=rng),
        seconds=torch.zeros(n),
        model=model,
        target=query_of(task, n, reference_value=level),
    )
