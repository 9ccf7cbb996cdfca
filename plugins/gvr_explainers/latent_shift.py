"""Latent shift (Cohen et al. 2021, "Gifsplanation"): one step along one gradient, long enough."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import images_at_once, slices
from gvr_explainers.latent_optimizer import straight

LENGTHS = 16  # tried at once for an image; most arrive early, and the rest of these is for nothing


class LatentShift(gvr.Explainer):
    """Decode `z - lambda * df(g(z))/dz` with the smallest lambda that turns the prediction.

    The prediction `f` is asked of decoded images, so a shift must survive decoding and encoding. It
    has arrived where it is on the target side and at the median prediction of those without the
    finding (classes: where the target class is predicted). An image that never arrives gets the
    shift with its lowest prediction.
    """

    role = "counterfactual"

    class Settings(gvr.Settings):
        """Lengths are those of the latent's way: lambda times the norm of the gradient."""

        step: float = Field(0.1, gt=0, description="from one shift tried to the next")
        steps: int = Field(200, ge=1, description="cap on the shifts tried")

    profiles = {"quick": {"step": 0.25, "steps": 80}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Search all images of the batch together."""
        limit = images_at_once(x, gradients=True)
        parts = []
        for part in slices(len(x), limit):
            latent, steps, found = self.shift(model, x[part], target[part], limit)
            with torch.no_grad():
                start, after = model.encoder(x[part]), model.generator(latent)
                attribution = (model.generator(start) - after).mean(dim=1)
                path = straight(start, latent)
                parts.append((attribution, after, latent, path, steps, found, model(after)))
        attribution, after, latent, path, steps, found, outputs = map(
            torch.cat, zip(*parts, strict=True)
        )
        return gvr.Explanation(
            attribution=attribution,
            counterfactual=after,
            latent=latent,
            trajectory=path,
            steps=steps,
            success=found,
            reason=self.reasons(outputs, target, found),
        )

    def shift(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, limit: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the latents arrived at, the shifts tried and whether they arrived.

        `limit` images are decoded and encoded at once.
        """
        s = self.settings
        with torch.no_grad():
            start = model.encoder(x)
        way = direction(model, start, target)
        best = start.clone()
        lowest = torch.full((len(x),), torch.inf, device=x.device)
        steps = torch.full((len(x),), s.steps, device=x.device)
        going = torch.arange(len(x), device=x.device)  # positions still searched for
        first = 0
        while first <= s.steps and len(going):
            count = min(LENGTHS, max(1, limit // len(going)), s.steps + 1 - first)
            lengths = s.step * torch.arange(first, first + count, device=x.device)
            z = start[going, None] - lengths[:, None] * way[going, None]  # (G, L, D)
            there, value = arrived(model, z, target[going])
            low, at = value.masked_fill(there, -torch.inf).min(1)  # at the first arrival, if any
            better = low < lowest[going]
            best[going[better]] = z[better, at[better]]
            lowest[going[better]] = low[better]
            here = low == -torch.inf
            steps[going[here]] = first + at[here]
            going = going[~here]
            first += count
        return best, steps, lowest == -torch.inf

    def reasons(
        self, outputs: Tensor, target: gvr.ExplanationTarget, found: Tensor
    ) -> tuple[str, ...]:
        """Say of each image why no shift was found; empty where one was."""
        s = self.settings
        values = target.source_output(target.task.activate(outputs)).tolist()
        classes = target.task.kind == "multiclass"
        lines = []
        for i, good in enumerate(found.tolist()):
            if good:
                lines.append("")
                continue
            aim = (
                f"never {target.task.outputs[int(target.target_class[i])]}"
                if classes
                else f"aim {min(target.reference_value[i].item(), target.threshold[i].item()):.3g}"
            )
            lines.append(f"lowest {values[i]:.3g} in {s.steps} shifts of {s.step:g}, {aim}")
        return tuple(lines)


def direction(model: gvr.Model, z: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return the unit gradient of the output for the decoded image by the latent: (N, D).

    Zero where the output does not depend on the latent.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        outputs = model(model.generator(z))
        (slope,) = torch.autograd.grad(target.source_output(outputs).sum(), z)
    return torch.nn.functional.normalize(slope, dim=1)


@torch.no_grad()
def arrived(model: gvr.Model, z: Tensor, target: gvr.ExplanationTarget) -> tuple[Tensor, Tensor]:
    """Say which latents decode to an image that is predicted as wanted, and what is predicted.

    `z` (N, L, D) -> (N, L) bool, (N, L) activated asked-for output.
    """
    n, lengths, _ = z.shape
    each = target[torch.arange(n, device=z.device).repeat_interleave(lengths)]
    outputs = model(model.generator(z.flatten(0, 1)))
    value = each.source_output(each.task.activate(outputs))
    there = each.reached_target(outputs)
    if target.task.kind != "multiclass":
        there &= value <= each.reference_value
    return there.view(n, lengths), value.view(n, lengths)
