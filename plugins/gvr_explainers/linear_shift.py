"""The shortest straight move of the latent to the goal, in two metrics."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import (
    CounterfactualExplainer,
    CounterfactualSettings,
    Start,
)
from gvr_explainers.goals import gap
from gvr_explainers.latent_optimizer import SearchResult, straight_trajectory


class LinearShift(CounterfactualExplainer):
    """Moves the latent along the head's normal: `z - (h(z) - goal) w / |w|^2`, w the slope of h.

    For a linear head that is the nearest latent at the goal, in one step; others are linearised
    again where the step ends (DeepFool, Moosavi-Dezfooli et al. 2016). The goal is the reference
    value, in logits where there are probabilities. The decoded image is not looked at. Source:
    Atad et al. 2024, arXiv 2408.01571, section 3.
    """

    class Settings(CounterfactualSettings):
        """As in DeepFool, a step goes a little too far, which rounding and curvature need."""

        steps: int = Field(8, ge=1, description="linearisations, at most")
        overshoot: float = Field(0.02, ge=0, description="share by which a step is too long")
        confidence: float = Field(
            0.99, ge=0.5, lt=1, description="probability of the target class to reach"
        )

    settings: Settings

    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Take the same steps for all images until each is past its goal."""
        s, covariance = self.settings, self.covariance(ctx)
        z = start.latent.detach().clone()
        steps = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        for step in range(s.steps + 1):
            with torch.enable_grad():
                at = z.clone().requires_grad_()
                distance = gap(model.head(at), target, s.confidence)
                (slope,) = torch.autograd.grad(distance.sum(), at)
            active = distance.detach() > 0
            if step == s.steps or not bool(active.any()):
                break
            direction = slope if covariance is None else slope @ covariance
            rise = (direction * slope).sum(1)  # of the distance, per unit of length
            length = torch.where(rise > 0, (1 + s.overshoot) * distance.detach() / rise, 0)
            z = torch.where(active[:, None], z - length[:, None] * direction, z)
            steps += active
        return SearchResult(z, straight_trajectory(start.latent, z), steps, ~active)

    def covariance(self, ctx: gvr.Context) -> Tensor | None:
        """Return the metric in which the move is shortest, (D, D); None for plain length."""
        return None

    def failure(self) -> str:
        """Say that the head could not be linearised."""
        return f"{self.settings.steps} linearisations of the head do not reach the goal"


class PatternShift(LinearShift):
    """Moves the latent along the pattern `S w` instead of the weights w: `z - t S w`.

    S is the covariance of the latents of training images: among all latents at the goal this is
    the nearest in Mahalanobis distance, `t = (h(z) - goal) / (w S w)`. Weights also point along
    directions that only cancel noise (suppressors), in which images do not vary; the pattern does
    not. Source: Haufe et al. 2014, doi 10.1016/j.neuroimage.2013.10.067, equation 6.
    """

    uses_reference = True

    def covariance(self, ctx: gvr.Context) -> Tensor | None:
        """Return the covariance (D, D) of the latents of training images.

        Raises `Unsupported` for fewer than two of them.
        """
        if len(ctx.reference) < 2:
            raise gvr.Unsupported("the covariance needs two training images or more")
        return ctx.reference.latents.T.cov()
