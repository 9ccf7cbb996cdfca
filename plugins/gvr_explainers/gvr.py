"""Generative visual rationales: move the latent until the prediction flips (the two papers)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import Rationale
from gvr_explainers.latent_optimizer import Descent, Look, descend

LEFT = 0.02  # probability at which a class counts as left behind


class Gvr(Rationale):
    """Algorithm 1, and Algorithm 2 for classes, over a batch of which each image stops alone.

    The attribution is positive where the finding adds density. Source: generative visual rationales
    (2018), section 2.
    """

    class Settings(gvr.Settings):
        """The papers' letters are in the descriptions."""

        learning_rate: float = Field(0.01, gt=0, description="alpha, of Adam (Algorithm 1)")
        penalty: float = Field(0.1, ge=0, description="gamma, weight of the image's mean change")
        cutoff: float | None = Field(
            None,
            description="rho, where to stop: a probability, or a value in the task's unit (the "
            "papers: BNP 10 ng/L); by default the median prediction of those without the finding, "
            f"and {LEFT} for a class",
        )
        target_weight: float = Field(5.0, ge=0, description="beta, of the target class")
        steps: int = Field(5000, ge=1, description="cap on the iterations")

    # The right penalty depends on how pixels are scaled, which the papers do not say; this one was
    # chosen on validation images of the phantom and of MNIST, as was the default target weight.
    profiles = {"quick": {"steps": 500, "penalty": 1.0}}
    settings: Settings

    def optimise(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> Descent:
        """Run Adam on every latent until it reaches the cut-off."""
        s = self.settings
        cutoff = self.cutoff(target)

        def look(z: Tensor, positions: Tensor, _: int) -> Look:
            asked = target[positions]
            prediction = asked.task.activate(model.head(z))
            there = asked.source_output(prediction) <= cutoff[positions]
            change = (model.generator(z) - before[positions]).square().flatten(1).mean(1)
            return Look(self.value(prediction, change, asked), there)

        return descend(start, look, steps=s.steps, learning_rate=s.learning_rate)

    def value(self, prediction: Tensor, change: Tensor, target: gvr.ExplanationTarget) -> Tensor:
        """Return the objective: y + gamma d, or y_m - beta y_t + gamma d.

        Activated `prediction` (N, K), `change` (N,) -> (N,).
        """
        s = self.settings
        value = target.source_output(prediction)
        if target.task.kind == "multiclass":
            value = (
                value - s.target_weight * prediction.gather(1, target.target_class[:, None])[:, 0]
            )
        return value + s.penalty * change

    def cutoff(self, target: gvr.ExplanationTarget) -> Tensor:
        """Where each image stops, on the scale of the activated prediction. (N,)."""
        task = target.task
        if self.settings.cutoff is None:
            classes = task.kind == "multiclass"
            return (
                torch.full_like(target.reference_value, LEFT) if classes else target.reference_value
            )
        if task.kind == "regression":
            return torch.full_like(
                target.reference_value, task.scale.apply_one(self.settings.cutoff)
            )
        return torch.full_like(target.reference_value, self.settings.cutoff)

    def ask(
        self, model: gvr.Model, latent: Tensor, after: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, ...]:
        """Ask the head about the latent, as it was asked on the way."""
        return (model.head(latent),)

    def judge(
        self, said: Sequence[Tensor], arrived: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Accept what is past the cut-off and past the decision threshold."""
        (outputs,) = said
        found = arrived & target.reached_target(outputs)
        return found, self.reasons(outputs, target, arrived, found)

    def reasons(
        self, outputs: Tensor, target: gvr.ExplanationTarget, arrived: Tensor, found: Tensor
    ) -> tuple[str, ...]:
        """Say of each image why no rationale was found; empty where it was."""
        values = target.source_output(target.task.activate(outputs)).tolist()
        cutoffs = self.cutoff(target).tolist()
        classes = outputs.argmax(1).tolist()
        lines = []
        for i, (there, good) in enumerate(zip(arrived.tolist(), found.tolist(), strict=True)):
            if good:
                lines.append("")
            elif not there:
                lines.append(
                    f"still at {values[i]:.3g} after {self.settings.steps} steps, "
                    f"cut-off {cutoffs[i]:.3g}"
                )
            elif target.task.kind == "multiclass":
                lines.append(f"became {target.task.outputs[classes[i]]}")
            else:
                lines.append(f"cut-off {cutoffs[i]:.3g} is not past the decision threshold")
        return tuple(lines)
