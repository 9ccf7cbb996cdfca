"""Asking the explained model about changed images, and noise to change them with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gvr_bench.core.context import seed_from

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model

CHUNK = 128  # most images in one pass
STEPS = 25  # in which all pixels of an image are exchanged
NO_MODEL = "the model cannot be asked again"
BETWEEN = "(f - typical) / (f(x) - typical) for regression, cut to 0..1"


def ask(model: Model, images: Tensor) -> Tensor:
    """Ask for outputs: images (M, C, H, W) -> (M, K)."""
    import torch

    with torch.no_grad():
        return torch.cat([model(part) for part in torch.split(images, CHUNK)])


def answers(model: Model, target: ExplanationTarget, images: Tensor) -> Tensor:
    """Ask for activated outputs: images (M, C, H, W) -> (M, K)."""
    return target.task.activate(ask(model, images))


def exchange(
    model: Model, target: ExplanationTarget, start: Tensor, end: Tensor, first: Tensor
) -> Tensor:
    """Ask while the pixels of `end` replace those of `start`, highest `first` before the others.

    Images (N, C, H, W) and `first` (N, H, W) -> activated outputs (STEPS + 1, N, K).
    """
    import torch

    n, _, h, w = start.shape
    rank = ranks(first.flatten(1)).view(n, 1, h, w)
    limits = [round(step * h * w / STEPS) for step in range(STEPS + 1)]
    return torch.stack([answers(model, target, end.where(rank < k, start)) for k in limits])


def ranks(values: Tensor) -> Tensor:
    """Say at which place each value comes, the highest at 0: (N, P) -> (N, P).

    Ties come in one order, shuffled so that it favours no part of the image and the same for all
    images and explainers: a constant map is a random one.
    """
    import torch

    shuffled = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = shuffled.to(values.device)
    order = shuffled[values[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1)


def presence(target: ExplanationTarget, outputs: Tensor, unchanged: Tensor) -> Tensor:
    """How much of the finding the model still sees, from 0 to 1.

    Activated outputs (S, N, K), and (N, K) for the unchanged image -> (S, N): the probability of
    what was asked for. A regression's value is placed between the typical value without the
    finding, 0, and the value for the unchanged image, 1, and cut there; NaN where the unchanged
    image is at the typical value or below.
    """
    import torch

    seen = torch.stack([target.source_output(step) for step in outputs])
    if target.task.kind != "regression":
        return seen
    span = target.source_output(unchanged) - target.reference_value
    return torch.where(span > 0, ((seen - target.reference_value) / span).clamp(0, 1), torch.nan)


def area(curve: Tensor) -> Tensor:
    """Area under a curve over equal steps from 0 to 1: (S, N) -> (N,)."""
    import torch

    return torch.trapezoid(curve.double(), dx=1 / (len(curve) - 1), dim=0)


def repeated(n: int, draws: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut N cases so that `draws` images of each fit in one pass.

    Yields the cases (B,), and them again with each repeated: (B * draws,).
    """
    import torch

    for cases in torch.split(torch.arange(n), max(1, CHUNK // draws)):
        yield cases, cases.repeat_interleave(draws)


def normals(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal noise: images (N, C, H, W) -> (N, *shape).

    It depends on an image's own pixels alone, so it is the same in any batch, on any device, and
    for every explainer.
    """
    import torch

    drawn = torch.empty(len(images), *shape)
    pixels = images.add(1).mul(127.5).round().byte().contiguous().cpu().numpy()
    for row, image in zip(drawn, pixels, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(seed_from(image.tobytes())))
    return drawn.to(images.device)
