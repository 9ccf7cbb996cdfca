"""What a plugin's metric sees, and its interface. Importing this module imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gvr_bench.core.components import Component
from gvr_bench.core.context import seed_from

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model

Better = Literal["up", "down", "-"]


@dataclass(frozen=True)
class MetricInput:
    """N explanations of one explainer, and what is known of their images; None where it is not.

    - `model` predicts, and `target` says which output of each image is explained.
    - `image` (N, C, H, W) in [-1, 1]; `attribution` (N, H, W), positive where a pixel speaks for
      the explained output.
    - `counterfactual` (N, C, H, W), and `base` (N, C, H, W), the picture that it changes: the
      decoder's reconstruction, or the image itself.
    - `mask` (N, H, W) bool, the pixels of the finding; `distractor` (N, H, W) bool, structures that
      correlate with the label without causing it; `true_counterfactual` (N, C, H, W).
    - `explain(images, index)` explains other images (M, C, H, W) in place of those at `index` (M,),
      with the same explainer: attribution (M, H, W).
    """

    model: Model
    target: ExplanationTarget
    image: Tensor
    attribution: Tensor
    base: Tensor
    counterfactual: Tensor | None = None
    mask: Tensor | None = None
    distractor: Tensor | None = None
    true_counterfactual: Tensor | None = None
    explain: Callable[[Tensor, Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def rngs(self) -> Iterator[torch.Generator]:
        """Yield a random generator per image, the only source of a metric's random numbers."""
        return rng_per_image(self.image)


class Metric(Component, ABC):
    """Gives one value per image to the explanations of an explainer.

    Its docstring says what it measures, and stands in reports. Attributes of the class, or of the
    instance where settings decide, declare the rest:

    - `better`: `up`, `down`, or `-` where neither is; values lie in [`lowest`, `highest`], with
      `unit`, empty for a bare number.
    - `formula`, `fooled_by`: how it is computed, and what scores well without deserving it.
    - `source`: the paper.
    """

    better: Better = "up"
    lowest: float = 0.0
    highest: float = 1.0
    unit: str = ""
    formula: str = ""
    fooled_by: str = ""
    source: str = ""

    @abstractmethod
    def score(self, data: MetricInput) -> Tensor:
        """Return one value per image (N,), NaN where an image has none.

        Each depends on its own image and explanation alone. Raises `Unsupported` with a reason
        where it does not apply to this explainer, model or data.
        """


def rng_per_image(images: Tensor) -> Iterator[torch.Generator]:
    """Yield a random generator per image (N, C, H, W), which depends on its pixels alone."""
    import torch

    for image in images.add(1).mul(127.5).round().byte().contiguous().cpu().numpy():
        yield torch.Generator().manual_seed(seed_from(image.tobytes()))
