"""Does training everything again with another seed give the same map?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import CaseInput, Group, Source
from gvr_bench.metrics.image_similarity import map_similarity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RepeatabilityInput(CaseInput):
    """Maps (N, H, W) of the same cases from two trainings that differ in their seed."""

    attribution: Tensor
    other_seed: Tensor

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read both maps."""
        return cls(
            source.read("explanations", "attribution"), source.read("other_seed", "attribution")
        )


GROUP = Group(
    "repeatability",
    "Repeatability",
    "does another seed give the same map?",
    default=False,
    stages=("other_seed",),
    case_input=RepeatabilityInput,
    cost="the training of all networks and the explanations with another seed",
    criticism="Trainings that predict alike on test data may behave differently on other data "
    "(D'Amour et al. 2022, arXiv 2011.03395): right maps of such models may differ.",
)


@GROUP.metric(
    "repeatability",
    lowest=-1,
    formula="SSIM of the maps from two seeds of the whole pipeline, each divided by its largest "
    "|a|; 1 for two maps of 0",
    fooled_by="A map that ignores the model: the image's own edges score 1. Sparse maps share "
    "their empty areas.",
    source="Arun et al. 2021",
)
def repeatability(data: RepeatabilityInput) -> Tensor:
    """Similarity of the maps from two trainings that differ only in their seed."""
    return map_similarity(data.attribution, data.other_seed)
