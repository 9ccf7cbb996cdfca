"""Adam on a batch of latents of which each stops alone: the loop under every rationale."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

DECAYS = 0.9, 0.999  # of the gradient's mean and of its square, as published


class Look(NamedTuple):
    """What an objective says of the latents it is shown.

    `value` (G,) is to be lowered and carries its graph; `there` (G,) bool says which latents will
    do; of those of an image the one with the least `change` (G,) is kept.
    """

    value: Tensor
    there: Tensor
    change: Tensor


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
    linger: int = 0,
    isotropic: bool = False,
) -> Descent:
    """Lower the objective of each latent of `start` (N, D) by at most `steps` steps of Adam.

    `objective(z, positions, step)` looks at latents (G, D) of the images at `positions` (G,). An
    image leaves the batch `linger` steps after its first latent that will do, so that the rest
    goes on faster; one that never arrives ends with its last latent. What an image is shown must
    depend on itself and the step alone. `isotropic` as in `adam`.
    """
    n, _ = start.shape
    best, least = start.clone(), start.new_full((n,), torch.inf)
    last = torch.full((n,), steps, device=start.device)  # the step at which an image leaves
    going = torch.arange(n, device=start.device)  # positions still in the batch
    z, mean, square = start.detach(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(steps + 1):
        with torch.enable_grad():
            z.requires_grad_()
            look = objective(z, going, step)
        better = look.there & (look.change.detach() < least[going])
        at = going[better]
        first = at[least[at].isinf()]
        last[first] = min(step + linger, steps)
        best[at], least[at] = z.detach()[better], look.change.detach()[better]
        stays = last[going] > step
        if not bool(stays.any()):
            break
        (slope,) = torch.autograd.grad(look.value.sum(), z)
        z = z.detach()
        if not bool(stays.all()):
            going, z, slope, mean, square = (t[stays] for t in (going, z, slope, mean, square))
        z, mean, square = adam(z, slope, mean, square, step + 1, learning_rate, isotropic)
    lost = least[going].isinf()
    best[going[lost]] = z.detach()[lost]
    return Descent(best, last, ~least.isinf())


def adam(
    z: Tensor,
    slope: Tensor,
    mean: Tensor,
    square: Tensor,
    step: int,
    learning_rate: float,
    isotropic: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return latents and moments after one step of Adam (Kingma & Ba 2015), per element.

    `isotropic` gives all elements of a latent the root mean square of their deviations: a latent
    moves along its gradient, not along the gradient's signs.
    """
    a, b = DECAYS
    mean = mean.lerp(slope, 1 - a)
    square = square.lerp(slope.square(), 1 - b)
    spread = square.mean(1, keepdim=True) if isotropic else square
    deviation = (spread / (1 - b**step)).sqrt()
    return z - learning_rate * (mean / (1 - a**step)) / (deviation + 1e-8), mean, square
