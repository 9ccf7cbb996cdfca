"""Adam on a batch of latents of which each stops alone: the loop under every rationale."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

DECAYS = 0.9, 0.999  # of the gradient's mean and of its square, as published


class Look(NamedTuple):
    """What an objective says of the latents it is shown.

    `value` (G,) is to be lowered and carries its graph; `there` (G,) bool says which have arrived.
    """

    value: Tensor
    there: Tensor


class Descent(NamedTuple):
    """Where latents ended: `latent` (N, D), `steps` taken (N,) int64, `arrived` (N,) bool."""

    latent: Tensor
    steps: Tensor
    arrived: Tensor


Objective = Callable[[Tensor, Tensor, int], Look]


def descend(
    start: Tensor,
    objective: Objective,
    *,
    steps: int,
    learning_rate: float,
    isotropic: bool = False,
) -> Descent:
    """Lower the objective of each latent of `start` (N, D) until it arrives, `steps` at most.

    `objective(z, positions, step)` looks at latents (G, D) of the images at `positions` (G,); what
    it says of one must not depend on the others. An image that has arrived leaves the batch, so
    that the rest goes on faster. `isotropic` as in `adam`.
    """
    n, _ = start.shape
    latent = start.clone()
    taken = torch.full((n,), steps, device=start.device)
    arrived = torch.zeros(n, dtype=torch.bool, device=start.device)
    going = torch.arange(n, device=start.device)  # positions still in the batch
    z, mean, square = start.detach(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(steps + 1):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value, there = objective(z, going, step)
        latent[going[there]] = z.detach()[there]
        taken[going[there]] = step
        arrived[going[there]] = True
        if step == steps or bool(there.all()):
            break
        (slope,) = torch.autograd.grad(value, z, torch.ones_like(value))
        if bool(there.any()):
            going, z, slope, mean, square = (t[~there] for t in (going, z, slope, mean, square))
        z, mean, square = adam(z, slope, mean, square, step + 1, learning_rate, isotropic)
    latent[going] = z.detach()
    return Descent(latent, taken, arrived)


@torch.no_grad()
def adam(
    z: Tensor,
    slope: Tensor,
    mean: Tensor,
    square: Tensor,
    step: int,
    learning_rate: float,
    isotropic: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return latents (N, D) and moments after one step of Adam (Kingma & Ba 2015), per element.

    `isotropic` gives all elements of a latent one deviation, the root of their mean square: then a
    latent moves along its gradient, not along the gradient's signs.
    """
    a, b = DECAYS
    mean = mean.lerp(slope, 1 - a)
    square = square.lerp(slope.square(), 1 - b)
    spread = square.mean(1, keepdim=True) if isotropic else square
    deviation = (spread / (1 - b**step)).sqrt()
    return z - learning_rate * (mean / (1 - a**step)) / (deviation + 1e-8), mean, square
