"""xGEM (Joshi et al. 2018): gradient descent on the cross-entropy with the target."""

from __future__ import annotations

import torch
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
from gvr_explainers.latent_optimizer import Evaluation, SearchResult, minimise


class Xgem(CounterfactualExplainer):
    """Minimises `loss(f(g(z)), target) + weight * |g(z) - x|` over the latent, in all steps.

    The loss is the cross-entropy of the decoded image with the target side (for a regression the
    squared distance from the reference value), the distance a mean over pixels. REVISE (Joshi et
    al. 2019) and Latent-CF (Balasubramanian et al. 2020) minimise the same and stop at the flip.
    Source: Joshi et al. 2018, arXiv 1806.08867, equation 2, with Adam.
    """

    class Settings(CounterfactualSettings):
        """The paper names no numbers."""

        steps: int = Field(100, ge=1, description="of Adam")
        learning_rate: float = Field(0.05, gt=0, description="of Adam")
        weight: float = Field(1.0, ge=0, description="lambda, of the distance from the image")

    profiles = {"quick": {"steps": 50, "learning_rate": 0.05}}
    settings: Settings

    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Run Adam on every latent."""
        s = self.settings

        def objective(z: Tensor, positions: Tensor, _: int) -> Evaluation:
            own = start.at(positions)
            image = picture(own, model.generator(z), s.residual)
            distance = (image - own.image).abs().flatten(1).mean(1)
            value = target_loss(model(image), target[positions]) + s.weight * distance
            return Evaluation(value, torch.zeros_like(value, dtype=torch.bool))

        return minimise(start.latent, objective, steps=s.steps, learning_rate=s.learning_rate)

    def failure(self) -> str:
        """Say that the steps were too few, or the weight too large."""
        return f"the decoded image does not flip in {self.settings.steps} steps"
