"""Does the map reveal that a model was trained on the test set?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import CaseInput, Group, Source
from gvr_bench.metrics.pixel_overlap import average_precision

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ContaminationInput(CaseInput):
    """Maps (N, H, W) for the model, and for one whose head was fitted on the test images.

    `predicts_source` (N,) says where the contaminated model predicts the finding at all, and
    `mask` (N, H, W) where the finding is.
    """

    attribution: Tensor
    mask: Tensor | None
    contaminated: Tensor | None = None
    predicts_source: Tensor | None = None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read both maps, where the head can be contaminated."""
        attribution = source.read("explanations", "attribution")
        mask = source.read_optional("cases", "mask")
        if not source.has("contaminated"):
            return cls(attribution, mask)
        return cls(
            attribution,
            mask,
            contaminated=source.read("contaminated", "attribution"),
            predicts_source=source.read("contaminated", "predicts_source"),
        )


GROUP = Group(
    "contamination",
    "Contamination",
    "does the map reveal that a model was trained on the test set?",
    stages=("contaminated",),
    case_input=ContaminationInput,
    cost="the training of a second head, and another explanation of each case",
    criticism="None known: it is this project's own.",
)


@GROUP.metric(
    "contamination gap",
    lowest=-1,
    formula="pixel AP with the clean head minus pixel AP with a head fitted on the test images",
    fooled_by="Chance: maps that were never right have nothing to lose. Read it beside pixel AP.",
    source="this project",
    needs="no masks are known, or the head cannot be contaminated",
)
def contamination_gap(data: ContaminationInput) -> Tensor | None:
    """Drop in pixel AP when the model has been trained on the test images."""
    import torch

    if data.mask is None or data.contaminated is None or data.predicts_source is None:
        return None
    clean = average_precision(data.attribution, data.mask)
    contaminated = average_precision(data.contaminated, data.mask)
    contaminated[~data.predicts_source.to(contaminated.device)] = torch.nan
    return clean - contaminated
