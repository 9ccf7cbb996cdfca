"""Adam on a batch of latents of which each stops alone: the loop under every rationale."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import gvr_bench.api as gvr

DECAYS = 0.9, 0.999  # of the gradient's mean and of its square, as published
PATH = 8  # latents that tell the way
SPACING = 1.1  # from one step that is remembered to the next


class Look(NamedTuple):
    """What an objective says of the latents it is shown.

    `value` (G,) is to be lowered and carries its graph; `there` (G,) bool says which have arrived.
    """

    value: Tensor
    there: Tensor


class Descent(NamedTuple):
    """Where latents ended: `latent` (N, D), `steps` taken (N,) int64, `arrived` (N,) bool.

    `path` (N, P, D) is the way there.
    """

    latent: Tensor
    path: Tensor
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

    Raises `TrainingError` where an objective is NaN or infinite.
    """
    n, _ = start.shape
    latent = start.clone()
    taken = torch.full((n,), steps, device=start.device)
    arrived = torch.zeros(n, dtype=torch.bool, device=start.device)
    going = torch.arange(n, device=start.device)  # positions still in the batch
    z, mean, square = start.detach(), torch.zeros_like(start), torch.zeros_like(start)
    trail = Trail()
    for step in range(steps + 1):
        if trail.due(step):
            trail.keep(step, latent.index_copy(0, going, z.detach()))
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value, there = objective(z, going, step)
        if not bool(value.isfinite().all()):
            raise gvr.TrainingError(
                f"the objective of {int((~value.isfinite()).sum())} of {n} latents became NaN or "
                f"infinite at step {step} of {steps}; try a smaller learning_rate"
            )
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
    return Descent(latent, trail.path(latent, taken), taken, arrived)


class Trail:
    """Remembers latents at fewer and fewer steps, for a path may be long.

    Between those it remembers a path is taken to be straight.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.latents: list[Tensor] = []

    def due(self, step: int) -> bool:
        """Whether a step is to be kept: the first few, then each a tenth farther than the last."""
        return not self.steps or step >= self.steps[-1] * SPACING

    def keep(self, step: int, latent: Tensor) -> None:
        """Remember where all images (N, D) are at a step."""
        self.steps.append(step)
        self.latents.append(latent)

    def path(self, latent: Tensor, taken: Tensor) -> Tensor:
        """Return `PATH` latents per image, evenly spaced in steps, from step 0 to `taken` (N,).

        `latent` (N, D) is where the path ends: -> (N, PATH, D).
        """
        n, d = latent.shape
        end = taken[:, None].to(latent.dtype)  # (N, 1)
        known = torch.tensor(self.steps, dtype=latent.dtype, device=latent.device).expand(n, -1)
        times = torch.cat([known.minimum(end), end], dim=1)  # (N, S), ascending
        places = torch.stack([*self.latents, latent], dim=1)  # (N, S, D)
        wanted = end * torch.linspace(0, 1, PATH, dtype=latent.dtype, device=latent.device)
        right = torch.searchsorted(times, wanted).clamp(1, times.shape[1] - 1)  # (N, PATH)
        before, after = times.gather(1, right - 1), times.gather(1, right)
        part = ((wanted - before) / (after - before).clamp_min(1)).clamp(0, 1)[..., None]
        left, right = (i[..., None].expand(-1, -1, d) for i in (right - 1, right))
        return places.gather(1, left).lerp(places.gather(1, right), part)


def straight(start: Tensor, end: Tensor) -> Tensor:
    """Return `PATH` latents evenly spaced between two, ends included: (N, D) -> (N, PATH, D)."""
    part = torch.linspace(0, 1, PATH, dtype=start.dtype, device=start.device)
    return start[:, None].lerp(end[:, None], part[:, None])


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
