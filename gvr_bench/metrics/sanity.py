"""Does the map change when the model does? One network at a time gets random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gvr_bench.metrics.base import CaseInput, Group, Source
from gvr_bench.metrics.image_similarity import map_similarity

if TYPE_CHECKING:
    from torch import Tensor

DECLARED: dict[str, Any] = {
    "better": "down",
    "lowest": -1,
    "formula": "the larger SSIM of a with a_r and with -a_r, each map divided by its largest |a|; "
    "1 for two maps of 0",
    "fooled_by": "Noise: a map that is random anyway changes whatever is randomised. Sparse maps "
    "share their empty areas.",
    "source": "Adebayo et al. 2018, one network at a time",
}
STAGES = "randomised_head", "randomised_encoder", "randomised_generator", "other_target"


@dataclass(frozen=True)
class SanityInput(CaseInput):
    """Maps (N, H, W) for the model, and for the model with random weights in one network each.

    None for a network that is no part of what the explainer explains. `other_target` are maps of
    another output, None where the model has one.
    """

    attribution: Tensor
    randomised_head: Tensor
    randomised_encoder: Tensor | None
    randomised_generator: Tensor | None
    other_target: Tensor | None = None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read those that there are."""
        attribution, head = (
            source.read(stage, "attribution") for stage in ("explanations", "randomised_head")
        )
        return cls(attribution, head, *(
            source.read(stage, "attribution") if source.has(stage) else None
            for stage in STAGES[1:]
        ))  # fmt: skip


GROUP = Group(
    "sanity",
    "Sanity",
    "does the map change when the model does?",
    stages=STAGES,
    case_input=SanityInput,
)


def remaining(attribution: Tensor, randomised: Tensor) -> Tensor:
    """Similarity of maps before and after, (N,). A negated map counts as the same picture."""
    import torch

    return torch.maximum(
        map_similarity(attribution, randomised), map_similarity(attribution, -randomised)
    )


@GROUP.metric("randomised head", **DECLARED)
def randomised_head(data: SanityInput) -> Tensor:
    """Similarity of maps before and after randomising the head's weights."""
    return remaining(data.attribution, data.randomised_head)


@GROUP.metric("randomised encoder", **DECLARED, needs="the explained network has no encoder")
def randomised_encoder(data: SanityInput) -> Tensor | None:
    """Similarity of maps before and after randomising the encoder's weights."""
    if data.randomised_encoder is None:
        return None
    return remaining(data.attribution, data.randomised_encoder)


@GROUP.metric("randomised generator", **DECLARED, needs="does not use the generator")
def randomised_generator(data: SanityInput) -> Tensor | None:
    """Similarity of maps before and after randomising the generator's weights.

    None where all maps are equal to the last digit: the explainer does not use the generator.
    """
    if data.randomised_generator is None or bool(
        (data.randomised_generator == data.attribution).all()
    ):
        return None
    return remaining(data.attribution, data.randomised_generator)


@GROUP.metric(
    "target sensitivity",
    highest=2,
    formula="1 - SSIM of the maps of two outputs of one image, each divided by its largest |a|: "
    "the source's, and that of the target class or, without classes, of the next output",
    fooled_by="Noise that differs from output to output. Where two findings lie at one place, the "
    "right maps are alike. Sparse maps share their empty areas.",
    source="Hesse et al. 2023 (FunnyBirds, target sensitivity), by SSIM",
    needs="the model has one output",
)
def target_sensitivity(data: SanityInput) -> Tensor | None:
    """How much the map changes when another output of the same image is explained."""
    if data.other_target is None:
        return None
    return 1 - map_similarity(data.attribution, data.other_target)
