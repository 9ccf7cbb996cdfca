"""Adam on a batch of latents, each of which stops on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import gvr_bench.api as gvr

DECAYS = 0.9, 0.999  # of the gradient's mean and of its square, as published
TRAJECTORY_LENGTH = 8  # latents
SPACING = 1.1  # ratio of consecutive recorded steps


class Evaluation(NamedTuple):
    """The objective at some latents: `value` (G,) with its graph, and `reached` (G,) bool."""

    value: Tensor
    reached: Tensor


class SearchResult(NamedTuple):
    """Final latents (N, D), their trajectories (N, P, D), steps (N,) int64, reached (N,) bool.

    `decoded` (N, K, C, H, W) are the decoded latents, and behind them more of each image, where the
    search knows them; `note` is that of the explanation.
    """

    latent: Tensor
    trajectory: Tensor
    steps: Tensor
    reached: Tensor
    decoded: Tensor | None = None
    note: str = ""


Objective = Callable[[Tensor, Tensor, int], Evaluation]
Constraint = Callable[[Tensor, Tensor, int], Tensor]


def minimise(
    start: Tensor,
    objective: Objective,
    *,
    steps: int,
    learning_rate: float,
    isotropic: bool = False,
    constraint: Constraint | None = None,
) -> SearchResult:
    """Minimise the objective of each latent of `start` (N, D) until it is reached or `steps` end.

    `objective(z, positions, step)` evaluates latents (G, D) of the images at `positions` (G,), each
    independently of the others. An image that has reached its target leaves the batch, which makes
    the remaining steps faster. `isotropic` is explained in `adam`. `constraint(z, positions, step)`
    returns latents (G, D) after a step as they may be.

    Raises `TrainingError` where an objective is NaN or infinite.
    """
    n, _ = start.shape
    latent = start.clone()
    taken = torch.full((n,), steps, device=start.device)
    reached = torch.zeros(n, dtype=torch.bool, device=start.device)
    active = torch.arange(n, device=start.device)  # positions still in the batch
    z, mean, square = start.detach(), torch.zeros_like(start), torch.zeros_like(start)
    recorder = TrajectoryRecorder()
    for step in range(steps + 1):
        if recorder.due(step):
            recorder.record(step, latent.index_copy(0, active, z.detach()))
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value, done = objective(z, active, step)
        if not bool(value.isfinite().all()):
            raise gvr.TrainingError(
                f"the objective of {int((~value.isfinite()).sum())} of {n} latents became NaN or "
                f"infinite at step {step} of {steps}; try a smaller learning_rate"
            )
        latent[active[done]] = z.detach()[done]
        taken[active[done]] = step
        reached[active[done]] = True
        if step == steps or bool(done.all()):
            break
        (slope,) = torch.autograd.grad(value, z, torch.ones_like(value))
        if bool(done.any()):
            active, z, slope, mean, square = (t[~done] for t in (active, z, slope, mean, square))
        z, mean, square = adam(z, slope, mean, square, step + 1, learning_rate, isotropic)
        z = constraint(z, active, step) if constraint else z
    latent[active] = z.detach()
    return SearchResult(latent, recorder.trajectory(latent, taken), taken, reached)


class TrajectoryRecorder:
    """Records latents at increasingly rare steps, and interpolates linearly between them."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.latents: list[Tensor] = []

    def due(self, step: int) -> bool:
        """Whether to record a step: the first few, then each a tenth later than the last."""
        return not self.steps or step >= self.steps[-1] * SPACING

    def record(self, step: int, latent: Tensor) -> None:
        """Record the latents (N, D) of all images at a step."""
        self.steps.append(step)
        self.latents.append(latent)

    def trajectory(self, latent: Tensor, taken: Tensor) -> Tensor:
        """Return latents evenly spaced in steps, from step 0 to `taken` (N,).

        `latent` (N, D) is the last of them: -> (N, TRAJECTORY_LENGTH, D).
        """
        n, d = latent.shape
        end = taken[:, None].to(latent.dtype)  # (N, 1)
        known = torch.tensor(self.steps, dtype=latent.dtype, device=latent.device).expand(n, -1)
        times = torch.cat([known.minimum(end), end], dim=1)  # (N, S), ascending
        places = torch.stack([*self.latents, latent], dim=1)  # (N, S, D)
        share = torch.linspace(0, 1, TRAJECTORY_LENGTH, dtype=latent.dtype, device=latent.device)
        moments = end * share  # (N, TRAJECTORY_LENGTH)
        right = torch.searchsorted(times, moments).clamp(1, times.shape[1] - 1)
        before, after = times.gather(1, right - 1), times.gather(1, right)
        part = ((moments - before) / (after - before).clamp_min(1)).clamp(0, 1)[..., None]
        left, right = (i[..., None].expand(-1, -1, d) for i in (right - 1, right))
        return places.gather(1, left).lerp(places.gather(1, right), part)


def straight_trajectory(start: Tensor, end: Tensor) -> Tensor:
    """Return latents evenly spaced between two: (N, D) -> (N, TRAJECTORY_LENGTH, D)."""
    part = torch.linspace(0, 1, TRAJECTORY_LENGTH, dtype=start.dtype, device=start.device)
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
    """Return latents (N, D) and moments after one step of Adam (Kingma & Ba 2015).

    `isotropic` uses one deviation for all elements of a latent, the root of their mean square: it
    then moves along its gradient instead of the gradient's signs.
    """
    a, b = DECAYS
    mean = mean.lerp(slope, 1 - a)
    square = square.lerp(slope.square(), 1 - b)
    spread = square.mean(1, keepdim=True) if isotropic else square
    deviation = (spread / (1 - b**step)).sqrt()
    return z - learning_rate * (mean / (1 - a**step)) / (deviation + 1e-8), mean, square
