"""Visual rationales whose decoded images are optimised too, not only their latents."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.counterfactual_base import (
    LOST,
    CounterfactualExplainer,
    CounterfactualSettings,
    Start,
    decode,
    picture,
)
from gvr_explainers.goals import gap
from gvr_explainers.latent_optimizer import Evaluation, SearchResult, minimise
from gvr_explainers.shifted_copies import MOST, over_copies, shifted

EPSILON = 1e-4  # smallest distance of the start from the goal


class GvrRobust(CounterfactualExplainer):
    """A visual rationale that still holds for the decoded image, shifted and with noise.

    A latent can move so that the head flips while the decoded image hardly changes. Therefore each
    step also decodes the latent, jitters the image and predicts from that, encoding it again where
    the head sees latents. The objective is a margin of logits, which do not saturate as
    probabilities do. The search ends when the latent and its clean image both reach the goal.

    The change is kept small. Where latents have places, it is sparse: after each step the change
    of the latent at each place is shortened as a group (Yuan & Lin 2006), so that only places that
    matter move. Otherwise a penalty is put on the change of the image. Both relax from step to
    step, so that each image changes as little as possible.

    A decoder of places draws a finding differently where it lies differently on their grid.
    Therefore the map is the mean over copies of the image that are shifted by a quarter of a place,
    each shifted back, and smaller where they disagree. The counterfactual is that of the image
    itself. Where its search fails, that of no copy is tried.

    A decoder of places also draws most of the image right, so that the counterfactual is the image
    plus what the decoder changes, which stays sharp. Otherwise it is the decoded image: added to an
    image that the decoder draws differently, a change convinces in half as many cases.
    """

    costly = True
    version = "4"

    class Settings(CounterfactualSettings):
        """The goal is the reference value, for a class at most `confidence`."""

        steps: int = Field(200, ge=1, description="cap on the iterations")
        learning_rate: float = Field(0.05, gt=0, description="of Adam, one deviation per latent")
        confidence: float = Field(
            0.99, ge=0.5, lt=1, description="probability of the target class to reach"
        )
        sparsity: float = Field(
            2.5, ge=0, description="shortening per step and place, in learning rates"
        )
        penalty: float = Field(
            20.0,
            ge=0,
            description="weight of the image's mean square change relative to the distance, where "
            "latents have no places",
        )
        relax: float = Field(0.95, gt=0, le=1, description="factor on both, per step")
        views: int = Field(
            5,
            ge=1,
            le=MOST,
            description="the image and shifted copies, whose maps are averaged where latents have "
            "places",
        )
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest jitter, of the size")
        noise: float = Field(
            0.3, ge=0, description="standard deviation of the jitter, pixels in [-1, 1]"
        )
        residual: bool | None = Field(  # type: ignore[assignment]
            None,
            description="return the image plus what the decoder changes, clip(x + G(z') - G(z)), "
            "instead of the decoded G(z'); by default where latents have places",
        )

    # Chosen on validation images of MNIST and the phantom.
    profiles = {"quick": {"learning_rate": 0.07, "relax": 0.93}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Explain the images, and average their maps with those of shifted copies."""
        return over_copies(
            partial(super(GvrRobust, self.for_model(model)).explain, model),
            x,
            target,
            ctx,
            views=self.settings.views,
            by=quarter_of_place(model, x),
            after_failure=False,
        )

    def for_model(self, model: gvr.Model) -> GvrRobust:
        """Return this explainer with `residual` as it is for a model."""
        if self.settings.residual is not None:
            return self
        places = getattr(model.generator, "latent_shape", None) is not None
        return type(self)(self.settings.model_copy(update={"residual": places}))

    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Move every latent until it and its image reach the goal."""
        s = self.settings
        shape = getattr(model.generator, "latent_shape", None)
        with torch.no_grad():
            first = picture(start, start.decoded, s.residual)
            scale = self.distance(model, start.latent, first, target).clamp_min(EPSILON)

        def objective(z: Tensor, positions: Tensor, step: int) -> Evaluation:
            own, (decoded, outputs) = target[positions], decode(model, z)
            image = picture(start.at(positions), decoded, s.residual)
            distance = self.gap(outputs, own)
            reached = distance.detach() <= 0
            near = torch.nonzero(reached)[:, 0]
            if len(near) and (model.classifier is None or s.residual):  # else the head has seen it
                with torch.no_grad():
                    reached[near] = self.gap(model(image[near]), own[near]) <= 0
            jittered = jitter(image, self.max_shift(image), s.noise, ctx.rng("jitter", step))
            hinge = distance.relu() + self.gap(model(jittered), own).relu()
            value = hinge / scale[positions]
            if shape is None:
                change = (decoded - start.decoded[positions]).square().flatten(1).mean(1)
                value = value + s.penalty * s.relax**step * change
            return Evaluation(value, reached)

        def shorten(z: Tensor, positions: Tensor, step: int) -> Tensor:
            length = s.learning_rate * s.sparsity * s.relax**step
            return shorten_by_place(z, start.latent[positions], shape, length)

        return minimise(
            start.latent,
            objective,
            steps=s.steps,
            learning_rate=s.learning_rate,
            isotropic=True,
            constraint=shorten if shape else None,
        )

    def max_shift(self, image: Tensor) -> int:
        """Return by how many pixels an image (N, C, H, W) may be shifted."""
        return round(self.settings.shift * image.shape[-1])

    def distance(
        self, model: gvr.Model, z: Tensor, image: Tensor, target: gvr.ExplanationTarget
    ) -> Tensor:
        """Return the larger distance to the goal of the latents and their images: (N,)."""
        return torch.maximum(self.gap(model.head(z), target), self.gap(model(image), target))

    def gap(self, outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
        """Return how far head outputs (N, K) are from the goal: (N,)."""
        return gap(outputs, target, self.settings.confidence)

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
        reasons = [
            ("" if good else LOST)
            if reached
            else f"still {far:.3g} from the goal after {self.settings.steps} steps"
            for far, reached, good in zip(
                gap, result.reached.tolist(), convincing.tolist(), strict=True
            )
        ]
        return success, tuple(reasons)


def shorten_by_place(z: Tensor, start: Tensor, shape: tuple[int, int, int], by: float) -> Tensor:
    """Shorten the change of each place of latents (N, D) since `start` by a length, to 0 at least.

    `shape` (C, H, W) is that of the map which a latent is, flattened.
    """
    change = (z - start).unflatten(1, shape)
    length = change.norm(dim=1, keepdim=True).clamp_min(1e-12)  # (N, 1, H, W)
    return start + (change * (1 - by / length).clamp_min(0)).flatten(1)


def jitter(image: Tensor, max_shift: int, noise: float, rng: torch.Generator) -> Tensor:
    """Shift images (N, C, H, W) by up to `max_shift` pixels and add noise.

    All images get the same draw, so that none depends on the others of its batch.
    """
    _, c, h, w = image.shape
    if max_shift:
        up, left = torch.randint(0, 2 * max_shift + 1, (2,), generator=rng).tolist()
        image = shifted(image, max_shift - up, max_shift - left)
    if noise:
        image = image + noise * torch.randn(c, h, w, generator=rng).to(image)
    return image


def quarter_of_place(model: gvr.Model, x: Tensor) -> int:
    """Return a quarter of the side of a latent's place, in pixels; 0 without places."""
    shape = getattr(model.generator, "latent_shape", None)
    return round(x.shape[-1] / shape[-1] / 4) if shape else 0
