"""Growing spheres (Laugel et al. 2018) around the latent."""

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
    reaching,
)
from gvr_explainers.latent_optimizer import SearchResult, straight_trajectory


class GrowingSpheres(CounterfactualExplainer):
    """The nearest of random latents around the image's own that flips the decoded image.

    A ball is halved until no draw in it flips; from there, draws in layers around it, each as thick
    as the ball. Then the smallest changes of single coordinates are undone as long as the flip
    holds. No gradient is used. Unlike the paper, the halvings and layers are bounded, and how many
    coordinates can be undone is bisected. Source: Laugel et al. 2018, arXiv 1712.08443, algorithms
    1 and 2.
    """

    costly = True

    class Settings(CounterfactualSettings):
        """The radius is a share of the latent's own length."""

        samples: int = Field(50, ge=1, description="draws in each layer")
        radius: float = Field(0.5, gt=0, description="of the first ball, in lengths of the latent")
        halvings: int = Field(4, ge=0, description="cap on the halvings of the ball")
        layers: int = Field(10, ge=1, description="cap on the layers around it")

    profiles = {"quick": {"samples": 25, "layers": 6, "halvings": 2}}
    settings: Settings

    @torch.no_grad()
    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Draw the same directions and relative radii for all images."""
        s, z0 = self.settings, start.latent
        best, radius = z0.clone(), s.radius * z0.norm(dim=1).clamp_min(1e-6)
        reached, _ = reaching(model, start, z0[:, None], target, s.residual)
        reached = reached[:, 0]
        steps = torch.zeros(len(z0), dtype=torch.int64, device=z0.device)

        def sample(active: Tensor, inner: Tensor, outer: Tensor, rng: torch.Generator) -> Tensor:
            """Keep the nearest draw that flips; return which images (A,) have one."""
            if not len(active):
                return reached[active]
            z = z0[active, None] + self.draws(inner, outer, z0.shape[1], rng)
            own, of = start.at(active), target[active]
            flips, _ = reaching(model, own, z, of, s.residual)
            length = (z - z0[active, None]).norm(dim=2).masked_fill(~flips, torch.inf)
            closest, index = length.min(dim=1)
            hit = closest.isfinite()
            best[active[hit]] = z[hit, index[hit]]
            steps[active] += 1
            return hit

        active = torch.nonzero(~reached)[:, 0]
        for halving in range(s.halvings + 1):
            inner = torch.zeros_like(radius[active])
            active = active[sample(active, inner, radius[active], ctx.rng("ball", halving))]
            reached[active] = True
            radius[active] /= 2
        for layer in range(1, s.layers + 1):
            active = torch.nonzero(~reached)[:, 0]
            inner, outer = layer * radius[active], (layer + 1) * radius[active]
            reached[active[sample(active, inner, outer, ctx.rng("layer", layer))]] = True
        best = self.sparser(model, start, best, target, reached)
        return SearchResult(best, straight_trajectory(z0, best), steps, reached)

    def draws(self, inner: Tensor, outer: Tensor, d: int, rng: torch.Generator) -> Tensor:
        """Draw evenly from the layers between radii (N,): (N, samples, D)."""
        count = self.settings.samples
        directions = F.normalize(torch.randn(count, d, generator=rng), dim=1).to(inner)
        share = torch.rand(count, generator=rng).to(inner)
        empty = (inner / outer)[:, None] ** d  # share of the ball's volume inside the layer
        length = outer[:, None] * (empty + share * (1 - empty)) ** (1 / d)
        return length[..., None] * directions

    def sparser(
        self,
        model: gvr.Model,
        start: Start,
        z: Tensor,
        target: gvr.ExplanationTarget,
        reached: Tensor,
    ) -> Tensor:
        """Undo the smallest changes of coordinates, as many as the flip survives: (N, D)."""
        d = z.shape[1]
        change = z - start.latent
        rank = change.abs().argsort(dim=1).argsort(dim=1)
        low, high = torch.zeros_like(rank[:, 0]), torch.full_like(rank[:, 0], d)

        def undone(count: Tensor) -> Tensor:
            return start.latent + change.where(rank >= count[:, None], 0)

        for _ in range(d.bit_length()):  # undoing `low` flips, undoing `high` does not
            middle = (low + high) // 2
            trial = undone(middle)[:, None]
            flips = reaching(model, start, trial, target, self.settings.residual)[0][:, 0]
            low, high = torch.where(flips, middle, low), torch.where(flips, high, middle)
        return undone(torch.where(reached, low, 0))

    def failure(self) -> str:
        """Say that the last layer was too near."""
        s = self.settings
        return f"no draw within {s.radius * (s.layers + 1):g} lengths of the latent flips the image"
