"""How much of an image does the map point at?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, CaseInput, Group, Source
from gvr_bench.metrics.pixel_overlap import shares

if TYPE_CHECKING:
    from torch import Tensor

FOOLED_BY = (
    "A single pixel anywhere is the simplest map: it says nothing about whether the map is right, "
    "so it ranks nobody. A diffuse finding has a diffuse map."
)


@dataclass(frozen=True)
class ComplexityInput(CaseInput):
    """Maps (N, H, W)."""

    attribution: Tensor

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read the maps."""
        return cls(source.read("explanations", "attribution"))


GROUP = Group(
    "complexity",
    "Complexity",
    "how much does the map point at?",
    case_input=ComplexityInput,
    cost="no pass of the model",
    criticism="The simplest map is a single pixel: those who ask for low complexity ask for high "
    "faithfulness, too (Bhatt et al. 2020, arXiv 2005.00631).",
)


@GROUP.metric(
    "sparseness",
    better="-",
    formula="Gini index of |a|: sum of (2 k - P - 1) |a|_k over P sum of |a|, k the place among "
    "the P pixels by rising |a|; a map of zeros counts as a constant one, which gets 0",
    fooled_by=FOOLED_BY,
    source="Chalasani et al. 2020; Quantus, Sparseness",
)
def sparseness(data: ComplexityInput) -> Tensor:
    """Gini index of |attribution|: 0 for a constant map, near 1 for a single pixel."""
    import torch

    rising = shares(data.attribution).sort(1).values
    pixels = rising.shape[1]
    weight = 2 * torch.arange(1, pixels + 1, dtype=rising.dtype, device=rising.device) - pixels - 1
    return (rising @ weight / pixels).clamp(0, 1)  # rounding


@GROUP.metric(
    "complexity",
    better="-",
    highest=INFINITE,
    formula="-sum of p ln p over the pixels, p = |a| / sum of |a|; a map of zeros counts as a "
    "constant one, which gets ln of the number of pixels",
    fooled_by=FOOLED_BY,
    source="Bhatt et al. 2020; Quantus, Complexity",
)
def complexity(data: ComplexityInput) -> Tensor:
    """Entropy of |attribution|, in nats: 0 for a single pixel."""
    import torch

    entropy: Tensor = torch.special.entr(shares(data.attribution)).sum(1)
    return entropy
