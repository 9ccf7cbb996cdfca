"""Rationales that convince another judge: they are sought in the picture, not in the latent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.chunks import images_at_once, slices
from gvr_explainers.optimiser import Descent, Look, descend

NEARLY = 1e-4  # a typical probability this close to 0 or 1 asks for no more


class GvrRobust(gvr.Explainer):
    """A visual rationale whose picture, shifted and noisy, is predicted as wanted.

    A latent can move so that the head flips while the picture hardly changes. So each step decodes
    the latent, jitters the picture, encodes it again and asks the head about that; what is asked
    for is a margin of logits, which does not saturate as probabilities do. An image has arrived
    when its clean picture, encoded again, is predicted as wanted.
    """

    class Settings(gvr.Settings):
        """Each part can be switched off: 0, or false."""

        steps: int = Field(200, ge=1, description="cap on the iterations")
        learning_rate: float = Field(0.05, gt=0, description="of Adam")
        isotropic: bool = Field(
            True, description="move along the gradient: one deviation per latent, not per element"
        )
        penalty: float = Field(
            3.0, ge=0, description="weight of the image's mean square change, beside the way to go"
        )
        confidence: float = Field(
            0.99,
            ge=0.5,
            lt=1,
            description="probability of the target class to reach, though no more than is typical; "
            "without classes the typical prediction is the aim",
        )
        through_image: bool = Field(True, description="ask about the picture, not the latent")
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest jitter, of the size")
        noise: float = Field(0.3, ge=0, description="deviation of the jitter, pixels in [-1, 1]")
        draws: int = Field(1, ge=1, description="jittered pictures per step")
        prior: float = Field(0.0, ge=0, description="weight of the latent's mean square")
        own: float = Field(0.0, ge=0)
        refine: int = Field(0, ge=0, description="steps after arrival that seek a smaller change")
        growth: float = Field(1.1, ge=1, description="of the penalty, per refining step")

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, query: gvr.Query, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Optimise as many latents at once as fit in memory."""
        parts = []
        for part in slices(len(x), images_at_once(x, gradients=True)):
            with torch.no_grad():
                start = model.encoder(x[part])
                before = model.generator(start)
            made = self.optimise(model, start, before, query[part], ctx)
            with torch.no_grad():
                after = model.generator(made.latent)
                parts.append((*made, before, after, model(after)))
        latent, steps, arrived, before, after, outputs = map(torch.cat, zip(*parts, strict=True))
        found = arrived & query.flipped(outputs)
        return gvr.Explanation(
            heat=(before - after).mean(dim=1),
            counterfactual=after,
            latent=latent,
            steps=steps,
            found=found,
            reason=self.reasons(outputs, query, arrived, found),
        )

    def optimise(
        self,
        model: gvr.Model,
        start: Tensor,
        before: Tensor,
        query: gvr.Query,
        ctx: gvr.Context,
    ) -> Descent:
        """Move every latent until its picture is predicted as wanted.

        `start` (N, D), `before` (N, C, H, W) = g(start).
        """
        s = self.settings
        with torch.no_grad():
            way = self.gap(model(before), query).clamp_min(NEARLY)  # (N,)
        weight = torch.full_like(way, s.penalty)

        def look(z: Tensor, positions: Tensor, step: int) -> Look:
            asked = query[positions]
            picture = model.generator(z)
            own = self.gap(model.head(z), asked)
            with torch.no_grad():
                there = self.gap(model(picture), asked) <= 0
                if s.own:
                    there &= own <= 0
            change = (picture - before[positions]).square().flatten(1).mean(1)
            gap = self.blurred_gap(model, z, picture, asked, ctx.generator("jitter", step))
            value = (gap + s.own * own.relu()) / way[positions] + weight[positions] * change
            weight[positions] *= torch.where(there, s.growth, 1 / s.growth)
            return Look(value + s.prior * z.square().mean(1), there, change)

        return descend(
            start,
            look,
            steps=s.steps,
            learning_rate=s.learning_rate,
            linger=s.refine,
            isotropic=s.isotropic,
        )

    def blurred_gap(
        self, model: gvr.Model, z: Tensor, picture: Tensor, query: gvr.Query, rng: torch.Generator
    ) -> Tensor:
        """Return how far jittered pictures (N, C, H, W) are from the goal on average. (N,)."""
        s = self.settings
        if not s.through_image:
            return self.gap(model.head(z), query).relu()
        shift = round(s.shift * picture.shape[-1])
        gaps = [
            self.gap(model(jitter(picture, shift, s.noise, rng)), query).relu()
            for _ in range(s.draws)
        ]
        return torch.stack(gaps).mean(0)

    def gap(self, outputs: Tensor, query: gvr.Query) -> Tensor:
        """Return how far head outputs (N, K) are from the goal, in outputs; 0 or less: there."""
        if query.task.kind == "regression":
            return query.select(outputs) - query.typical
        if query.task.kind != "multiclass":
            return query.select(outputs) - query.typical.logit(NEARLY)
        target = query.target[:, None]
        rest = outputs.scatter(1, target, -torch.inf).logsumexp(1)
        aim = (1 - query.typical).clamp(0.5, self.settings.confidence).logit()
        return aim - (outputs.gather(1, target)[:, 0] - rest)

    def reasons(
        self, outputs: Tensor, query: gvr.Query, arrived: Tensor, found: Tensor
    ) -> tuple[str, ...]:
        """Say of each image why no rationale was found; empty where it was."""
        lines = []
        left = self.gap(outputs, query).tolist()
        for gap, there, good in zip(left, arrived.tolist(), found.tolist(), strict=True):
            if good:
                lines.append("")
            elif not there:
                lines.append(f"still {gap:.3g} short after {self.settings.steps} steps")
            else:
                lines.append("what is typical is not past the decision threshold")
        return tuple(lines)


def jitter(picture: Tensor, shift: int, noise: float, rng: torch.Generator) -> Tensor:
    """Shift pictures (N, C, H, W) by up to `shift` pixels and add noise, to all of them alike.

    Drawn once for the batch: what an image is shown does not depend on the others in it.
    """
    _, c, h, w = picture.shape
    if shift:
        down, right = torch.randint(0, 2 * shift + 1, (2,), generator=rng).tolist()
        wide = F.pad(picture, (shift,) * 4, mode="replicate")
        picture = wide[:, :, down : down + h, right : right + w]
    if noise:
        drawn = torch.randn(c, h, w, generator=rng).to(picture.device, picture.dtype)
        picture = picture + noise * drawn
    return picture
