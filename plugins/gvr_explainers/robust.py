"""Visual rationales whose decoded images are optimised too, not only their latents."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import CounterfactualExplainer
from gvr_explainers.latent_optimizer import Evaluation, SearchResult, minimise

EPSILON = 1e-4  # smallest distance of a probability from 0 and 1, and of the start from the goal


class GvrRobust(CounterfactualExplainer):
    """A visual rationale that still holds for the decoded image, shifted and with noise.

    A latent can move so that the head flips while the decoded image hardly changes. Therefore each
    step also decodes the latent, jitters the image, encodes it again and predicts from that. The
    objective is a margin of logits, which do not saturate as probabilities do. The search ends when
    the latent and its re-encoded clean image both reach the goal. A penalty on the change of the
    image relaxes from step to step, so that each image changes as little as possible.
    """

    class Settings(gvr.Settings):
        """The goal is the reference value, for a class at most `confidence`."""

        steps: int = Field(200, ge=1, description="cap on the iterations")
        learning_rate: float = Field(0.05, gt=0, description="of Adam")
        isotropic: bool = Field(
            True, description="one deviation per latent: move along the gradient, not its signs"
        )
        ask: Literal["both", "image", "latent"] = Field(
            "both", description="what must reach the goal"
        )
        logits: bool = Field(True, description="optimise logits, otherwise probabilities")
        confidence: float = Field(
            0.99, ge=0.5, lt=1, description="probability of the target class to reach"
        )
        penalty: float = Field(
            20.0,
            ge=0,
            description="weight of the image's mean square change relative to the distance",
        )
        relax: float = Field(0.95, gt=0, le=1, description="factor on the penalty, per step")
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest jitter, of the size")
        noise: float = Field(
            0.3, ge=0, description="standard deviation of the jitter, pixels in [-1, 1]"
        )
        draws: int = Field(1, ge=1, description="jittered images per step")

    # Chosen on validation images of MNIST and the phantom.
    profiles = {"quick": {"learning_rate": 0.07, "relax": 0.93}}
    settings: Settings

    def search(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        target: gvr.ExplanationTarget,
        ctx: gvr.Context,
    ) -> SearchResult:
        """Move every latent until it and its image reach the goal."""
        s = self.settings
        with torch.no_grad():
            scale = self.distance(model, start, before, target).clamp_min(EPSILON)

        def objective(z: Tensor, positions: Tensor, step: int) -> Evaluation:
            own = target[positions]
            image = model.generator(z)
            with torch.no_grad():
                reached = self.distance(model, z, image, own) <= 0
            hinge = torch.zeros_like(scale[positions])
            if s.ask != "image":
                hinge = hinge + self.gap(model.head(z), own).relu()
            if s.ask != "latent":
                rng = ctx.rng("jitter", step)
                for _ in range(s.draws):
                    outputs = model(jitter(image, self.max_shift(image), s.noise, rng))
                    hinge = hinge + self.gap(outputs, own).relu() / s.draws
            change = (image - before[positions]).square().flatten(1).mean(1)
            penalty = s.penalty * s.relax**step * change
            return Evaluation(hinge / scale[positions] + penalty, reached)

        return minimise(
            start, objective, steps=s.steps, learning_rate=s.learning_rate, isotropic=s.isotropic
        )

    def max_shift(self, image: Tensor) -> int:
        """Return by how many pixels an image (N, C, H, W) may be shifted."""
        return round(self.settings.shift * image.shape[-1])

    def distance(
        self, model: gvr.Model, z: Tensor, image: Tensor, target: gvr.ExplanationTarget
    ) -> Tensor:
        """Return the larger distance to the goal of the latents and their images: (N,)."""
        ask = self.settings.ask
        outputs = [model.head(z)] if ask != "image" else []
        outputs += [model(image)] if ask != "latent" else []
        return torch.stack([self.gap(each, target) for each in outputs]).amax(0)

    def gap(self, outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
        """Return how far head outputs (N, K) are from the goal, at most 0 once reached: (N,).

        In logits, probabilities, or the scaled value of a regression.
        """
        if target.task.kind == "regression":
            return target.source_output(outputs) - target.reference_value
        if target.task.kind == "multiclass":
            column = target.target_class[:, None]
            rest = outputs.scatter(1, column, -torch.inf).logsumexp(1)
            value = rest - outputs.gather(1, column)[:, 0]  # the logit of all other classes
            lowest = 1 - self.settings.confidence
            goal = target.reference_value.clamp(lowest, 0.5).logit()
        else:
            value, goal = target.source_output(outputs), target.reference_value.logit(EPSILON)
        return value - goal if self.settings.logits else value.sigmoid() - goal.sigmoid()

    def outcome(
        self,
        model: gvr.Model,
        result: SearchResult,
        after: Tensor,
        target: gvr.ExplanationTarget,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Accept images that reach the goal and are predicted past the threshold."""
        gap = self.distance(model, result.latent, after, target).tolist()
        convincing = target.reached_target(model(after))
        success = result.reached & convincing
        failure = "the decoded image is not predicted past the threshold"
        reasons = [
            ("" if good else failure)
            if reached
            else f"still {far:.3g} from the goal after {self.settings.steps} steps"
            for far, reached, good in zip(
                gap, result.reached.tolist(), convincing.tolist(), strict=True
            )
        ]
        return success, tuple(reasons)


def jitter(image: Tensor, max_shift: int, noise: float, rng: torch.Generator) -> Tensor:
    """Shift images (N, C, H, W) by up to `max_shift` pixels and add noise.

    All images get the same draw, so that none depends on the others of its batch.
    """
    _, c, h, w = image.shape
    if max_shift:
        down, right = torch.randint(0, 2 * max_shift + 1, (2,), generator=rng).tolist()
        padded = F.pad(image, (max_shift,) * 4, mode="replicate")
        image = padded[:, :, down : down + h, right : right + w]
    if noise:
        image = image + noise * torch.randn(c, h, w, generator=rng).to(image)
    return image
