"""Outputs of the explained model for changed images, and noise to change them with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gvr_bench.core.context import seed_from

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model, Task

MAX_IMAGES = 128  # in one forward pass
STEPS = 25  # in which all pixels of an image are exchanged
BETWEEN = "(f - typical) / (f(x) - typical) for regression, clipped to 0..1"


def outputs(model: Model, images: Tensor) -> Tensor:
    """Compute outputs: images (M, C, H, W) -> (M, K)."""
    import torch

    with torch.no_grad():
        return torch.cat([model(part) for part in torch.split(images, MAX_IMAGES)])


def activated(model: Model, task: Task, images: Tensor) -> Tensor:
    """Compute activated outputs: images (M, C, H, W) -> (M, K)."""
    return task.activate(outputs(model, images))


def exchange(model: Model, task: Task, start: Tensor, end: Tensor, first: Tensor) -> Tensor:
    """Predict while pixels of `end` replace those of `start`, highest `first` before the others.

    Images (N, C, H, W) and `first` (N, H, W) -> activated outputs (STEPS + 1, N, K).
    """
    import torch

    n, _, h, w = start.shape
    rank = ranks(first.flatten(1)).view(n, 1, h, w)
    limits = [round(step * h * w / STEPS) for step in range(STEPS + 1)]
    return torch.stack([activated(model, task, end.where(rank < k, start)) for k in limits])


def ranks(values: Tensor) -> Tensor:
    """Rank values, the highest at 0: (N, P) -> (N, P).

    Ties come in one order, shuffled so that it favours no part of the image and the same for all
    images and explainers: a constant map is a random one.
    """
    import torch

    shuffled = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = shuffled.to(values.device)
    order = shuffled[values[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1)


def presence(target: ExplanationTarget, steps: Tensor, unchanged: Tensor) -> Tensor:
    """How much of the finding the model still predicts, from 0 to 1.

    Activated outputs (S, N, K), and (N, K) for the unchanged image -> (S, N): the probability of
    the source. A regression's value is placed between the typical value without the finding, 0,
    and the value for the unchanged image, 1, and clipped; NaN where the unchanged image is at the
    typical value or below.
    """
    import torch

    source = torch.stack([target.source_output(step) for step in steps])
    if target.task.kind != "regression":
        return source
    span = target.source_output(unchanged) - target.reference_value
    share = ((source - target.reference_value) / span).clamp(0, 1)
    return torch.where(span > 0, share, torch.nan)


def area(curve: Tensor) -> Tensor:
    """Area under a curve over equal steps from 0 to 1: (S, N) -> (N,)."""
    import torch

    return torch.trapezoid(curve.double(), dx=1 / (len(curve) - 1), dim=0)


def repeated(n: int, draws: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut N cases so that `draws` images of each fit in one pass.

    Yields the cases (B,), and them again with each repeated: (B * draws,).
    """
    import torch

    for cases in torch.split(torch.arange(n), max(1, MAX_IMAGES // draws)):
        yield cases, cases.repeat_interleave(draws)


def normals(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal noise: images (N, C, H, W) -> (N, *shape).

    It depends on an image's own pixels alone, so it is the same in any batch, on any device, and
    for every explainer.
    """
    import torch

    noise = torch.empty(len(images), *shape)
    pixels = images.add(1).mul(127.5).round().byte().contiguous().cpu().numpy()
    for row, image in zip(noise, pixels, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(seed_from(image.tobytes())))
    return noise.to(images.device)
