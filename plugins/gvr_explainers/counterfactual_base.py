"""The base of explainers that move an image's latent and decode the result."""

from __future__ import annotations

from abc import abstractmethod
from itertools import chain
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size
from gvr_explainers.latent_optimizer import SearchResult

LOST = "the decoded image is not predicted past the threshold"


class Start(NamedTuple):
    """Where a search begins: images (N, C, H, W), their latents (N, D), and these decoded."""

    image: Tensor
    latent: Tensor
    decoded: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, model: gvr.Model, x: Tensor) -> Start:
        """Encode and decode images (N, C, H, W)."""
        latent = model.encoder(x)
        return cls(x, latent, model.generator(latent))

    def at(self, positions: Tensor) -> Start:
        """Return it for some of the images."""
        return Start(*(part[positions] for part in self))


class CounterfactualSettings(gvr.Settings):
    """Settings of every explainer that moves a latent."""

    residual: bool = Field(
        False,
        description="return the image plus what the decoder changes, clip(x + G(z') - G(z)), "
        "instead of the decoded G(z')",
    )


def picture(start: Start, decoded: Tensor, residual: bool) -> Tensor:
    """Return the counterfactuals (N, C, H, W) of decoded latents."""
    return gvr.compose(start.image, start.decoded, decoded) if residual else decoded


def decode(model: gvr.Model, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images of latents (N, D) and the head's outputs (N, K), decoding once.

    The head of a network of images sees these very images.
    """
    decoded = model.generator(z)
    return decoded, model.head(z) if model.classifier is None else model(decoded)


@torch.no_grad()
def reaching(
    model: gvr.Model, start: Start, z: Tensor, target: gvr.ExplanationTarget, residual: bool
) -> tuple[Tensor, Tensor]:
    """Return which of L latents per image give a picture that reaches the target, and its output.

    `z` (N, L, D) -> (N, L) bool, and the source output (N, L), not activated. Decodes as many at a
    time as fit in memory.
    """
    n, count, _ = z.shape
    index = torch.arange(n, device=z.device).repeat_interleave(count)
    parts = []
    for part in batches(n * count, max_batch_size(start.image)):
        own, decoded = index[part], model.generator(z.flatten(0, 1)[part])
        outputs = model(picture(start.at(own), decoded, residual))
        parts.append((target[own].reached_target(outputs), target[own].source_output(outputs)))
    reached, value = map(torch.cat, zip(*parts, strict=True))
    return reached.view(n, count), value.view(n, count)


class CounterfactualExplainer(gvr.Explainer):
    """Moves the latent `z0` of each image to some `z`; the attribution is `g(z0) - g(z)`.

    `count` is the number of latents that a search holds per image.
    """

    role = "counterfactual"
    settings: CounterfactualSettings

    @property
    def count(self) -> int:
        """One, unless a search says otherwise."""
        return 1

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Optimise as many latents together as fit in memory."""
        parts, reasons, alternatives, note = [], [], [], ""
        for part in batches(len(x), max(1, max_batch_size(x, gradients=True) // self.count)):
            start = Start.of(model, x[part])
            result = self.search(model, start, target[part], ctx)
            with torch.no_grad():
                decoded = result.decoded
                if decoded is None:
                    decoded = model.generator(result.latent)[:, None]
                images = self.pictures(start, decoded)
                after = images[:, 0]
                success, reason = self.outcome(model, result, after, target[part])
            attribution = (start.decoded - decoded[:, 0]).mean(dim=1)
            latent, trajectory, steps = result.latent, result.trajectory, result.steps
            parts.append((attribution, after, latent, trajectory, steps, success))
            reasons.append(reason)
            note = note or result.note
            if self.count > 1:
                alternatives.append(images[:, 1:])
        columns = map(torch.cat, zip(*parts, strict=True))
        return gvr.Explanation(
            *columns,
            reason=tuple(chain.from_iterable(reasons)),
            residual=self.settings.residual,
            note=note,
            alternatives=torch.cat(alternatives) if alternatives else None,
        )

    def pictures(self, start: Start, decoded: Tensor) -> Tensor:
        """Return the counterfactuals of K decoded latents of each image, both (N, K, C, H, W)."""
        n, k = decoded.shape[:2]
        copies = start.at(torch.arange(n, device=decoded.device).repeat_interleave(k))
        images = picture(copies, decoded.flatten(0, 1), self.settings.residual)
        return images.unflatten(0, (n, k))

    @abstractmethod
    def search(
        self, model: gvr.Model, start: Start, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> SearchResult:
        """Move the latents of `start`."""

    def outcome(
        self,
        model: gvr.Model,
        result: SearchResult,
        after: Tensor,
        target: gvr.ExplanationTarget,
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Return the success of each image, (N,) bool, and the reasons of failures.

        `after` (N, C, H, W) are the counterfactuals: by default the model has to see them on the
        target side.
        """
        success = target.reached_target(model(after))
        reasons = [
            "" if good else LOST if reached else self.failure()
            for good, reached in zip(success.tolist(), result.reached.tolist(), strict=True)
        ]
        return success, tuple(reasons)

    def failure(self) -> str:
        """Say why a search did not reach its goal."""
        return LOST
