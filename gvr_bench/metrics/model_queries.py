"""Outputs of the explained model for changed images, and noise to change them with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gvr_bench.core.metric import rng_per_image

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model, Task

MAX_IMAGES = 128  # in one forward pass
CPU_PIXELS = 2**17  # in one pass on a CPU, whose caches hold the maps of no more
STEPS = 25  # in which all pixels of an image are exchanged
BETWEEN = "(f - typical) / (f(x) - typical) for regression, clipped to 0..1"


def outputs(model: Model, images: Tensor) -> Tensor:
    """Compute outputs: images (M, C, H, W) -> (M, K)."""
    import torch

    size = MAX_IMAGES
    if images.device.type == "cpu":
        size = max(4, min(size, CPU_PIXELS // images.shape[2:].numel()))
    with torch.no_grad():
        return torch.cat([model(part) for part in torch.split(images, size)])


def decoded(model: Model, images: Tensor) -> Tensor:
    """Encode and decode images (M, C, H, W)."""
    import torch

    with torch.no_grad():
        parts = torch.split(images, MAX_IMAGES)
        return torch.cat([model.generator(model.encoder(part)) for part in parts])


def activated(model: Model, task: Task, images: Tensor) -> Tensor:
    """Compute activated outputs: images (M, C, H, W) -> (M, K)."""
    return task.activate(outputs(model, images))


def exchange(model: Model, task: Task, start: Tensor, end: Tensor, order: Tensor) -> Tensor:
    """Predict while pixels of `end` replace those of `start`, in this `order`.

    Images (N, C, H, W) and ranks (N, H, W) -> activated outputs (STEPS + 1, N, K).
    """
    import torch

    return torch.stack([activated(model, task, end.where(hot, start)) for hot in growing(order)])


def growing(order: Tensor, steps: int = STEPS) -> Iterator[Tensor]:
    """Yield which pixels come first, of ranks (N, H, W): none, ..., all; (N, 1, H, W) each."""
    pixels = order[0].numel()
    for step in range(steps + 1):
        yield (order < round(step * pixels / steps))[:, None]


def ranks(values: Tensor, image: Tensor) -> Tensor:
    """Rank pixels, the highest value at 0: (N, H, W), images (N, C, H, W) -> (N, H, W).

    Ties are shuffled by a draw from the image's own pixels, the same for all explainers: a constant
    map is a random one, and no order favours or harms it in all images alike.
    """
    import torch

    shuffled = torch.stack([
        torch.randperm(values[0].numel(), generator=rng) for rng in rng_per_image(image)
    ]).to(values.device)  # fmt: skip
    falling = values.flatten(1).gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    return shuffled.gather(1, falling).argsort(dim=1).view(values.shape)


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
    for row, rng in zip(noise, rng_per_image(images), strict=True):
        row.normal_(generator=rng)
    return noise.to(images.device)
