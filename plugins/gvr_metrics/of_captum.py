"""The metrics of captum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import captum.metrics
import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr

MAX_IMAGES = 128  # in one forward pass
DECLARED = {  # formula, what fools it, source
    "infidelity": (
        "mean over draws of (I.a - (g(x) - g(x - I)))^2, g the output before it is activated, I "
        "Gaussian noise; a is divided evenly among channels",
        "The scale of the map counts: a map of zeros beats a right map that is too large.",
        "Yeh et al. 2019 (arXiv 1901.09392), captum.metrics.infidelity",
    ),
    "sensitivity_max": (
        "largest |a(x + u) - a(x)| / |a(x)| over draws of uniform noise u",
        "A constant map never changes.",
        "Yeh et al. 2019 (arXiv 1901.09392), captum.metrics.sensitivity_max",
    ),
}


class CaptumMetric(gvr.Metric):
    """A metric of captum on the maps of any explainer, `captum:infidelity`."""

    argument = "metric"
    better = "down"
    highest = float("inf")
    fooled_by = "The scale of the map for infidelity, a constant map for sensitivity_max."

    class Settings(gvr.Settings):
        metric: Literal["infidelity", "sensitivity_max"] = "infidelity"
        draws: int = Field(10, ge=1, description="noisy copies of each image")
        noise: float = Field(0.02, gt=0, description="its deviation, or largest value, in [-1, 1]")

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.formula, self.fooled_by, self.source = DECLARED[settings.metric]

    def score(self, data: gvr.MetricInput) -> Tensor:
        infidelity = self.settings.metric == "infidelity"
        return self.infidelity(data) if infidelity else self.sensitivity_max(data)

    def infidelity(self, data: gvr.MetricInput) -> Tensor:
        n, c, h, w = data.image.shape
        noise = self.drawn(data, lambda to, rng: to.normal_(0, self.settings.noise, generator=rng))

        def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
            change = noise(images)
            return change, images - change

        with torch.no_grad():
            values = captum.metrics.infidelity(
                data.model,
                perturb,
                data.image,
                (data.attribution / c)[:, None].expand(n, c, h, w),
                target=data.target.source_class,
                n_perturb_samples=self.settings.draws,
                max_examples_per_batch=self.at_once(n),
            )
        return cast(Tensor, values)

    def sensitivity_max(self, data: gvr.MetricInput) -> Tensor:
        explain, radius = data.explain, self.settings.noise
        if explain is None:
            raise gvr.Unsupported("the explainer cannot be asked again")
        noise = self.drawn(data, lambda to, rng: to.uniform_(-radius, radius, generator=rng))

        def attribution(images: Tensor | tuple[Tensor]) -> tuple[Tensor]:
            x = images[0] if isinstance(images, tuple) else images
            copies = torch.arange(len(data)).repeat_interleave(len(x) // len(data))
            return (explain(x, copies.to(x.device)),)

        values = captum.metrics.sensitivity_max(
            attribution,
            data.image,
            lambda images: images + noise(images),
            n_perturb_samples=self.settings.draws,
            max_examples_per_batch=self.at_once(len(data)),
        )
        return cast(Tensor, values)

    def at_once(self, n: int) -> int:
        """Return the number of noisy copies of n images in one pass, within captum's limits."""
        return min(max(n, MAX_IMAGES), n * self.settings.draws)

    @staticmethod
    def drawn(
        data: gvr.MetricInput, fill: Callable[[Tensor, torch.Generator], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """Return what draws noise for the copies (N * copies, C, H, W) of each image in turn."""
        rngs = list(data.rngs())

        def noise(images: Tensor) -> Tensor:
            shape = len(images) // len(rngs), *images.shape[1:]
            return torch.cat([fill(torch.empty(shape), rng) for rng in rngs]).to(images.device)

        return noise
