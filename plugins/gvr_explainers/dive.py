"""DiVE (Rodríguez et al. 2021): several counterfactuals that differ from one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import (
    CounterfactualExplainer,
    CounterfactualSettings,
    Start,
    picture,
)
from gvr_explainers.goals import target_loss
from gvr_explainers.latent_optimizer import (
    Evaluation,
    SearchResult,
    minimise,
    straight_trajectory,
)


class Dive(CounterfactualExplainer):
    """Moves several copies of the latent together, each to the target in another direction.

    Adam on the changes e_1 ... e_k of a latent minimises, summed over i, `loss(f(g(z + e_i)),
    target) + proximity |g(z + e_i) - g(z)| + sparsity |e_i| + diversity sum over j of cos(e_i,
    e_j)^2`. The loss is the cross-entropy, norms are means. The counterfactual is the nearest image
    that flips, the others are its `alternatives`; the paper's masks by Fisher information are left
    out. Source: Rodríguez et al. 2021, arXiv 2103.10226, equations 2 to 5.
    """

    costly = True

    class Settings(CounterfactualSettings):
        """Weights are those of means, so that they do not depend on the sizes."""

        counterfactuals: int = Field(4, ge=2, description="k, per image")
        steps: int = Field(100, ge=1, description="of Adam")
        learning_rate: float = Field(0.05, gt=0, description="of Adam")
        noise: float = Field(0.1, gt=0, description="standard deviation of the first changes")
        proximity: float = Field(1.0, ge=0, description="weight of the image's change")
        sparsity: float = Field(0.1, ge=0, description="weight of the latent's change")
        diversity: float = Field(1.0, ge=0, description="weight of common directions")

    profiles = {"quick": {"steps": 50, "learning_rate": 0.05}}
    settings: Settings

    @property
    def count(self) -> int:
        """The latents of an image."""
        return self.settings.counterfactuals

    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Start all images from the same noise; choose each one's nearest flip."""
        s, (n, d), k = self.settings, start.latent.shape, self.count
        index = torch.arange(n, device=start.latent.device).repeat_interleave(k)
        copies, targets = start.at(index), target[index]
        noise = s.noise * torch.randn(k, d, generator=ctx.rng("start")).to(start.latent)

        def objective(z: Tensor, _positions: Tensor, _step: int) -> Evaluation:
            decoded, change = model.generator(z), z - copies.latent
            moved = (decoded - copies.decoded).abs().flatten(1).mean(1)
            value = target_loss(model(picture(copies, decoded, s.residual)), targets)
            value = value + s.proximity * moved + s.sparsity * change.abs().mean(1)
            value = value + s.diversity * alike(change.view(n, k, d)).flatten()
            return Evaluation(value, torch.zeros_like(value, dtype=torch.bool))

        result = minimise(
            copies.latent + noise.repeat(n, 1),
            objective,
            steps=s.steps,
            learning_rate=s.learning_rate,
        )
        with torch.no_grad():
            decoded = model.generator(result.latent).unflatten(0, (n, k))
            images = self.pictures(start, decoded)
            flips = targets.reached_target(model(images.flatten(0, 1))).view(n, k)
        distance = (images - start.decoded[:, None]).abs().flatten(2).mean(2)
        order = (distance + 4 * ~flips).argsort(dim=1)  # flips first: pixels differ by 2 at most
        row = torch.arange(n, device=order.device)[:, None]
        latent = result.latent.view(n, k, d)[row[:, 0], order[:, 0]]
        trajectory = straight_trajectory(start.latent, latent)
        steps, reached = result.steps[::k], flips.any(dim=1)
        return SearchResult(latent, trajectory, steps, reached, decoded[row, order])

    def failure(self) -> str:
        """Say that none of them got there."""
        return f"none of {self.count} decoded images flips in {self.settings.steps} steps"


def alike(change: Tensor) -> Tensor:
    """Sum the squared cosines of each of K changes with the others: (N, K, D) -> (N, K)."""
    unit = F.normalize(change, dim=2)
    return (unit @ unit.transpose(1, 2)).square().sum(2) - unit.square().sum(2).square()
