"""Gradients along the way to a counterfactual."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size


class RationaleGradient(gvr.Explainer):
    """Integrated gradients along the trajectory of another explainer's counterfactual.

    The attribution is the sum of `df/dx (x_t - x_t+1)` over the decoded trajectory from the image
    to its counterfactual: each pixel's share of the fall of the output, so that a map sums to
    `f(x) - f(x')`. It is the path method of Sundararajan et al. 2017, arXiv 1703.01365, section 3,
    with the counterfactual as its baseline and the search as its path. The counterfactual is that
    of the explainer. Without a trajectory the path is straight.
    """

    role = "counterfactual"
    uses_reference = True
    argument = "explainer"
    maps_show_change = False  # its share of the output

    class Settings(gvr.Settings):
        """A map is complete only if the path begins at the image, as residual composition does."""

        explainer: str = Field("latent-shift", description="that makes the counterfactual")
        base: dict[str, Any] = Field({"residual": True}, description="settings of the explainer")
        profile: Literal["quick", "standard", "paper"] = Field(
            "quick", description="profile of the explainer's other settings"
        )
        steps: int = Field(50, ge=1, description="points of the path")

    profiles = {
        "quick": {"steps": 20},
        "standard": {"profile": "standard"},
        "paper": {"profile": "paper"},
    }
    settings: Settings

    @functools.cached_property
    def base(self) -> gvr.Explainer:
        """The explainer. Raises `UsageError` where it makes no counterfactuals."""
        s = self.settings
        base = gvr.open_explainer(s.explainer, {}, s.profile)  # `base` fits other explainers only
        if not base.returns_counterfactuals() or isinstance(base, RationaleGradient):
            raise gvr.UsageError(
                f"rationale-gradient:{s.explainer}: name an explainer that makes counterfactuals, "
                "e.g. rationale-gradient:gvr"
            )
        return gvr.open_explainer(s.explainer, s.base, s.profile)

    @property
    def completeness_baseline(self) -> gvr.CompletenessBaseline:
        """The counterfactual, where the path begins at the image itself."""
        base: Any = self.base.settings
        return "counterfactual" if getattr(base, "residual", False) else None

    def fingerprint(self) -> str:
        """Return what the explainer's results depend on."""
        base = self.base
        known = json.dumps(base.settings.model_dump(mode="json", exclude={*base.files}))
        code = gvr.source_digest(type(base).__module__)
        return " ".join(filter(None, (base.fingerprint(), base.version, known, code)))

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Explain by the other explainer, and integrate along its trajectory."""
        explanation = self.base.explain(model, x, target, ctx)
        parts = [
            self.integrate(model, x[part], target[part], explanation, part)
            for part in batches(len(x), max_batch_size(x, gradients=True))
        ]
        return replace(explanation, attribution=torch.cat(parts), alternatives=None)

    def integrate(
        self,
        model: gvr.Model,
        x: Tensor,
        target: gvr.ExplanationTarget,
        explanation: gvr.Explanation,
        part: slice,
    ) -> Tensor:
        """Sum gradients at the middle of each step, times the step: (n, H, W)."""
        total = torch.zeros_like(x)
        path = self.path(model, x, explanation, part)
        before = next(path)
        for after in path:
            middle = ((before + after) / 2).requires_grad_()
            with torch.enable_grad():
                outputs = target.source_output(model(middle))
            (slope,) = torch.autograd.grad(outputs.sum(), middle)
            total += slope * (before - after)
            before = after
        return total.sum(dim=1)

    @torch.no_grad()
    def path(
        self, model: gvr.Model, x: Tensor, explanation: gvr.Explanation, part: slice
    ) -> Iterator[Tensor]:
        """Yield pictures (n, C, H, W) from the image, or its reconstruction, to the other."""
        assert explanation.counterfactual is not None
        shares = torch.linspace(0, 1, self.settings.steps + 1).tolist()
        if explanation.latent is None:
            for share in shares:
                yield x.lerp(explanation.counterfactual[part], share)
            return
        if explanation.trajectory is None:
            latents = torch.stack([model.encoder(x), explanation.latent[part]], dim=1)
        else:
            latents = explanation.trajectory[part]
        first = model.generator(latents[:, 0])
        for share in shares:
            at = share * (latents.shape[1] - 1)
            left = min(int(at), latents.shape[1] - 2)
            decoded = model.generator(latents[:, left].lerp(latents[:, left + 1], at - left))
            yield gvr.compose(x, first, decoded) if explanation.residual else decoded
