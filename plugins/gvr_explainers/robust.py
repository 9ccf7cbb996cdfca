"""Rationales that convince another judge: sought in the picture, not in the latent alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import Rationale
from gvr_explainers.latent_optimizer import Descent, Look, descend

NEARLY = 1e-4  # probabilities closer to 0 or 1 than this, and ways to go below it, count as this


class GvrRobust(Rationale):
    """A visual rationale whose picture is predicted as wanted, also when it is shifted and noisy.

    A latent can move so that the head flips while its picture hardly changes. So each step decodes
    the latent, jitters the picture, encodes it again and asks the head about that too; and it asks
    for a margin of logits, which does not saturate as probabilities do. An image has arrived when
    the head reaches the goal at the latent and at its clean picture, encoded again. The change of
    the picture is held back by a penalty that relaxes from step to step, so that each image is
    given the largest it can bear.
    """

    class Settings(gvr.Settings):
        """The goal is the typical prediction, for a class no more than `confidence`."""

        steps: int = Field(200, ge=1, description="cap on the iterations")
        learning_rate: float = Field(0.05, gt=0, description="of Adam")
        isotropic: bool = Field(
            True, description="one deviation per latent: move along the gradient, not its signs"
        )
        ask: Literal["both", "image", "latent"] = Field(
            "both", description="what must be predicted as wanted"
        )
        logits: bool = Field(True, description="ask for logits, otherwise for probabilities")
        confidence: float = Field(
            0.99, ge=0.5, lt=1, description="probability of the target class to reach"
        )
        penalty: float = Field(
            20.0, ge=0, description="weight of the image's mean square change beside the way to go"
        )
        relax: float = Field(0.95, gt=0, le=1, description="factor on the penalty, per step")
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest jitter, of the size")
        noise: float = Field(0.3, ge=0, description="deviation of the jitter, pixels in [-1, 1]")
        draws: int = Field(1, ge=1, description="jittered pictures per step")

    # All chosen on validation images of MNIST and the phantom; docs/robust.md has what they buy.
    profiles = {"quick": {"learning_rate": 0.07, "relax": 0.93}}
    settings: Settings

    def optimise(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> Descent:
        """Move every latent until it and its picture are predicted as wanted."""
        s = self.settings
        with torch.no_grad():
            way = self.farthest(model, start, before, target).clamp_min(NEARLY)

        def look(z: Tensor, positions: Tensor, step: int) -> Look:
            asked = target[positions]
            picture = model.generator(z)
            with torch.no_grad():
                there = self.farthest(model, z, picture, asked) <= 0
            hinge = torch.zeros_like(way[positions])
            if s.ask != "image":
                hinge = hinge + self.gap(model.head(z), asked).relu()
            if s.ask != "latent":
                rng = ctx.rng("jitter", step)
                for _ in range(s.draws):
                    seen = model(jitter(picture, self.reach(picture), s.noise, rng))
                    hinge = hinge + self.gap(seen, asked).relu() / s.draws
            change = (picture - before[positions]).square().flatten(1).mean(1)
            return Look(hinge / way[positions] + s.penalty * s.relax**step * change, there)

        return descend(
            start, look, steps=s.steps, learning_rate=s.learning_rate, isotropic=s.isotropic
        )

    def reach(self, picture: Tensor) -> int:
        """Return by how many pixels a picture (N, C, H, W) may be shifted."""
        return round(self.settings.shift * picture.shape[-1])

    def farthest(
        self, model: gvr.Model, z: Tensor, picture: Tensor, target: gvr.ExplanationTarget
    ) -> Tensor:
        """Return how far the latent and its clean picture are from the goal, at most. (N,)."""
        ask = self.settings.ask
        asked = [model.head(z)] if ask != "image" else []
        asked += [model(picture)] if ask != "latent" else []
        return torch.stack([self.gap(outputs, target) for outputs in asked]).amax(0)

    def gap(self, outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
        """Return how far head outputs (N, K) are from the goal; 0 or less is there. (N,).

        In logits, probabilities, or the scaled value of a regression.
        """
        if target.task.kind == "regression":
            return target.source_output(outputs) - target.reference_value
        if target.task.kind == "multiclass":
            column = target.target_class[:, None]
            rest = outputs.scatter(1, column, -torch.inf).logsumexp(1)
            value = rest - outputs.gather(1, column)[:, 0]  # the logit of not being the target
            most = 1 - self.settings.confidence
            aim = target.reference_value.clamp(most, 0.5).logit()
        else:
            value, aim = target.source_output(outputs), target.reference_value.logit(NEARLY)
        return value - aim if self.settings.logits else value.sigmoid() - aim.sigmoid()

    def ask(
        self, model: gvr.Model, latent: Tensor, after: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, ...]:
        """Ask how far from the goal it is, and whether the model is convinced by the picture."""
        gap = self.farthest(model, latent, after, target)
        return gap, target.reached_target(model(after))

    def judge(
        self, said: Sequence[Tensor], arrived: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Accept what has reached the goal with a picture that convinces the model."""
        gap, convinced = said
        return arrived & convinced, self.reasons(gap, arrived, convinced)

    def reasons(self, gap: Tensor, arrived: Tensor, convinced: Tensor) -> tuple[str, ...]:
        """Say of each image why no rationale was found; empty where it was."""
        lines = []
        for far, there, good in zip(
            gap.tolist(), arrived.tolist(), convinced.tolist(), strict=True
        ):
            if not there:
                lines.append(f"still {far:.3g} from the goal after {self.settings.steps} steps")
            else:
                lines.append("" if good else "its picture is not predicted past the threshold")
        return tuple(lines)


def jitter(picture: Tensor, reach: int, noise: float, rng: torch.Generator) -> Tensor:
    """Shift pictures (N, C, H, W) by up to `reach` pixels and add noise, the same to all of them.

    One draw for the batch, so that what an image is shown does not depend on its company.
    """
    _, c, h, w = picture.shape
    if reach:
        down, right = torch.randint(0, 2 * reach + 1, (2,), generator=rng).tolist()
        wide = F.pad(picture, (reach,) * 4, mode="replicate")
        picture = wide[:, :, down : down + h, right : right + w]
    if noise:
        picture = picture + noise * torch.randn(c, h, w, generator=rng).to(picture)
    return picture
