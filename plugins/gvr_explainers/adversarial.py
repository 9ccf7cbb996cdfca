"""A control: adversarial noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.shifted_copies import MOST, over_copies


class Adversarial(gvr.Explainer):
    """Descends the model's output by pixels, within a small ball around the image.

    The nearest image that changes the prediction (Wachter et al. 2017), found by projected gradient
    descent (Madry et al. 2018): it looks like the image itself. Validity, proximity and COUT reward
    it (Hvilshoj et al. 2021), and an explainer that does no better on them shows nothing. Each
    image stops at the first step that reaches its target.

    Its map is averaged over shifted copies of the image as that of `gvr-robust` is: averaging alone
    makes a map more like the truth, so the control has it too.
    """

    role = "control"
    makes_counterfactuals = True
    needs_decoder = False
    costly = True

    class Settings(gvr.Settings):
        """The radius is per pixel, so that it does not depend on the size of the images."""

        radius: float = Field(
            0.05, gt=0, description="of the L2 ball: root mean square change of a pixel in [-1, 1]"
        )
        steps: int = Field(40, ge=1, description="cap on the steps; 10 reach the ball's surface")
        views: int = Field(
            MOST,
            ge=1,
            le=MOST,
            description="the image and shifted copies, whose maps are averaged",
        )
        shift: float = Field(
            1 / 32, gt=0, lt=0.5, description="of a copy, of the size; one pixel at least"
        )

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Perturb the images, and average their maps with those of shifted copies."""
        return over_copies(
            lambda images, own, _: self.perturbation(model, images, own),
            x,
            target,
            ctx,
            views=self.settings.views,
            by=max(1, round(self.settings.shift * x.shape[-1])),
        )

    def perturbation(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget
    ) -> gvr.Explanation:
        """Perturb as many images together as fit in memory."""
        parts = [
            self.perturb(model, x[part], target[part])
            for part in batches(len(x), max_batch_size(x, gradients=True))
        ]
        image, steps, success = map(torch.cat, zip(*parts, strict=True))
        s = self.settings
        failure = f"not reached within a root mean square change of {s.radius:g} in {s.steps} steps"
        reason = tuple("" if good else failure for good in success.tolist())
        return gvr.Explanation(
            attribution=(x - image).mean(dim=1),
            counterfactual=image,
            steps=steps,
            success=success,
            reason=reason,
        )

    def perturb(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images (N, C, H, W), their steps (N,), and whether they reach the target."""
        s = self.settings
        radius = s.radius * x[0].numel() ** 0.5
        image = x.detach().clone()
        steps = torch.full((len(x),), s.steps, device=x.device)
        active = torch.arange(len(x), device=x.device)  # positions that have not reached theirs
        for step in range(s.steps + 1):
            own = target[active]
            with torch.enable_grad():
                moved = image[active].requires_grad_()
                outputs = model(moved)
                (slope,) = torch.autograd.grad(distance(outputs, own).sum(), moved)
            reached = own.reached_target(outputs)
            steps[active[reached]] = step
            active, slope = active[~reached], slope[~reached]
            if step == s.steps or not len(active):
                break
            change = image[active] - radius / 10 * unit(slope) - x[active]
            image[active] = (x[active] + clipped(change, radius)).clamp(-1, 1)
        success = torch.ones_like(steps, dtype=torch.bool)
        success[active] = False
        return image, steps, success


def distance(outputs: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return what falls on the way to the target: outputs (N, K) -> (N,)."""
    if target.task.kind == "multiclass":
        return F.cross_entropy(outputs, target.target_class, reduction="none")
    return target.source_output(outputs)


def unit(slope: Tensor) -> Tensor:
    """Scale each of (N, C, H, W) to length 1; zero stays zero."""
    return F.normalize(slope.flatten(1), dim=1).view_as(slope)


def clipped(change: Tensor, radius: float) -> Tensor:
    """Shorten each of (N, C, H, W) to at most the radius."""
    length = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    return change * (radius / length).clamp_max(1)[:, None, None, None]
