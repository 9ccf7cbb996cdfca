"""Latent shift (Cohen et al. 2021, "Gifsplanation"): a line search along one gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.counterfactual_base import CounterfactualSettings, Start, picture
from gvr_explainers.latent_optimizer import straight_trajectory

MAX_LENGTHS = 16  # tried together; most images succeed early, which wastes the others


class LatentShift(gvr.Explainer):
    """Decodes `z - lambda * df(g(z))/dz` with the smallest lambda that changes the prediction.

    The prediction `f` is that of decoded images, so a shift must survive decoding and encoding. It
    ends past the decision threshold and the reference value (classes: where the target class is
    predicted). An image that never gets there keeps the shift with its lowest prediction.
    """

    role = "counterfactual"

    class Settings(CounterfactualSettings):
        """Lengths are distances in latent space: lambda times the norm of the gradient."""

        step: float = Field(0.1, gt=0, description="length from one shift to the next")
        steps: int = Field(200, ge=1, description="cap on the shifts tried")

    profiles = {"quick": {"step": 0.25, "steps": 80}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Search all images of the batch together."""
        limit = max_batch_size(x, gradients=True)
        parts = []
        for part in batches(len(x), limit):
            start = Start.of(model, x[part])
            latent, steps, success = self.search(model, start, target[part], limit)
            with torch.no_grad():
                decoded = model.generator(latent)
                after = picture(start, decoded, self.settings.residual)
                attribution = (start.decoded - decoded).mean(dim=1)
                trajectory = straight_trajectory(start.latent, latent)
                parts.append((attribution, after, latent, trajectory, steps, success, model(after)))
        *columns, outputs = map(torch.cat, zip(*parts, strict=True))
        reason = tuple(self.reasons(outputs, target, columns[-1]))
        return gvr.Explanation(*columns, reason=reason, residual=self.settings.residual)

    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, limit: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the final latents, the number of shifts tried, and the success of each image.

        At most `limit` images are decoded and encoded together.
        """
        s = self.settings
        z0, device = start.latent, start.latent.device
        unit = direction(model, start, target, s.residual)
        best = z0.clone()
        lowest = torch.full((len(z0),), torch.inf, device=device)
        steps = torch.full((len(z0),), s.steps, device=device)
        active = torch.arange(len(z0), device=device)  # positions still searched
        first = 0
        while first <= s.steps and len(active):
            count = min(MAX_LENGTHS, max(1, limit // len(active)), s.steps + 1 - first)
            lengths = s.step * torch.arange(first, first + count, device=device)
            z = z0[active, None] - lengths[:, None] * unit[active, None]  # (A, L, D)
            reached, value = evaluate(model, z, start.at(active), target[active], s.residual)
            low, at = value.masked_fill(reached, -torch.inf).min(1)  # the first reached, if any
            better = low < lowest[active]
            best[active[better]] = z[better, at[better]]
            lowest[active[better]] = low[better]
            done = low == -torch.inf
            steps[active[done]] = first + at[done]
            active = active[~done]
            first += count
        return best, steps, lowest == -torch.inf

    def reasons(
        self, outputs: Tensor, target: gvr.ExplanationTarget, success: Tensor
    ) -> Iterator[str]:
        """Yield why no shift was found for each image; empty for a success."""
        s = self.settings
        values = target.source_output(target.task.activate(outputs)).tolist()
        for i, good in enumerate(success.tolist()):
            if good:
                yield ""
                continue
            if target.task.kind == "multiclass":
                goal = f"never {target.task.outputs[int(target.target_class[i])]}"
            else:
                limit = min(target.reference_value[i].item(), target.threshold[i].item())
                goal = f"goal {limit:.3g}"
            yield f"lowest {values[i]:.3g} in {s.steps} shifts of {s.step:g}, {goal}"


def direction(
    model: gvr.Model, start: Start, target: gvr.ExplanationTarget, residual: bool
) -> Tensor:
    """Return the unit gradient of the picture's source output by the latent: (N, D).

    Zero where the output does not depend on the latent.
    """
    with torch.enable_grad():
        z = start.latent.detach().requires_grad_()
        outputs = model(picture(start, model.generator(z), residual))
        (slope,) = torch.autograd.grad(target.source_output(outputs).sum(), z)
    return F.normalize(slope, dim=1)


@torch.no_grad()
def evaluate(
    model: gvr.Model, z: Tensor, start: Start, target: gvr.ExplanationTarget, residual: bool
) -> tuple[Tensor, Tensor]:
    """Return which latents give a picture that reaches the target, and its source output.

    `z` (N, L, D) -> (N, L) bool, (N, L) activated.
    """
    n, lengths, _ = z.shape
    index = torch.arange(n, device=z.device).repeat_interleave(lengths)
    each = target[index]
    outputs = model(picture(start.at(index), model.generator(z.flatten(0, 1)), residual))
    value = each.source_output(each.task.activate(outputs))
    reached = each.reached_target(outputs)
    if target.task.kind != "multiclass":
        reached &= value <= each.reference_value
    return reached.view(n, lengths), value.view(n, lengths)
