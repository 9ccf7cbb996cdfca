"""Does the map change when the model does? One network at a time gets random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gvr_bench.metrics.base import CaseInput, Group, Input, Source
from gvr_bench.metrics.case_specific import alike_of
from gvr_bench.metrics.image_similarity import map_similarity

if TYPE_CHECKING:
    from torch import Tensor

SIMILARITY = "the larger SSIM of {0} with {1} and with -{1}, each map divided by its largest |a|; "
SIMILARITY += "1 for two maps of 0"
REFERENCE = "other_image_similarity"
DECLARED: dict[str, Any] = {
    "better": "-",
    "lowest": -1,
    "formula": SIMILARITY.format("a", "a_r") + ". Passed where it is not above the similarity of "
    "maps of different images: the 95 % interval of the mean difference reaches 0",
    "fooled_by": "Noise, which is passed off as a map that changes: a test to fail, not a score to "
    "rank by (Binder et al. 2023; Yona and Greenfeld 2021). SSIM favours maps that are noisy or "
    "share their empty areas. A map that is the same for all images has a reference of 1.",
    "source": "Adebayo et al. 2018, one network at a time",
    "reference": REFERENCE,
}
ROUNDING = 1e-3  # of the largest value of a map, which a search may make of a last digit
STAGES = "randomised_head", "randomised_encoder", "randomised_generator", "other_target"


@dataclass(frozen=True)
class SanityInput(CaseInput):
    """Maps (N, H, W) for the model, and for the model with random weights in one network each.

    These are NaN for cases that are not explained again.
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


@dataclass(frozen=True)
class OtherImagesInput(Input):
    """Maps of all N cases, each with the position (N,) of another case to compare it with.

    `attribution(rows)` reads maps (n, H, W). The other case is of the same output and of another
    patient; -1 where there is none.
    """

    other: Tensor
    attribution: Callable[[slice], Tensor]

    @classmethod
    def build(cls, source: Source) -> Self:
        """Choose the other cases; maps are read when they are needed."""
        other = partners(alike_of(source), source.patients)
        return cls(other, lambda rows: source.part(rows).read("explanations", "attribution"))


def partners(alike: Tensor, patients: Tensor) -> Tensor:
    """Choose another case of the same number in `alike` and of another patient: (N,) -> (N,) int64.

    It lies half of these cases away, or is the next one of another patient. -1 where there is none,
    and for cases whose number is -1.
    """
    import torch

    chosen = torch.full_like(alike, -1)
    for number in torch.unique(alike[alike >= 0]).tolist():
        rows: list[int] = (alike == number).nonzero()[:, 0].tolist()
        whose = patients[rows].tolist()
        for place, row in enumerate(rows):
            steps = (len(rows) // 2 + step for step in range(len(rows)))
            others = ((place + step) % len(rows) for step in steps)
            other_row = next((other for other in others if whose[other] != whose[place]), None)
            chosen[row] = -1 if other_row is None else rows[other_row]
    return chosen


GROUP = Group(
    "sanity",
    "Sanity",
    "does the map change when the model does?",
    stages=STAGES,
    case_input=SanityInput,
    comparison_input=OtherImagesInput,
    cost="up to four more explanations of each of 20 cases, of 10 for costly explainers, "
    "whose wider interval passes a test more easily",
    criticism="Whether a map changes depends on the task (Yona and Greenfeld 2021, arXiv "
    "2110.14297), and maps of noise pass with ease (Binder et al. 2023, arXiv 2211.12486).",
)


def is_changed(before: Tensor, after: Tensor) -> bool:
    """Whether any of several maps (N, H, W) has changed by more than rounding; NaN is no change."""
    largest = before.abs().amax((1, 2), keepdim=True)
    return bool(((after - before).abs() > ROUNDING * largest).any())


def remaining(attribution: Tensor, randomised: Tensor) -> Tensor:
    """Similarity of maps before and after, (N,). A negated map counts as the same picture."""
    import torch

    return torch.maximum(
        map_similarity(attribution, randomised), map_similarity(attribution, -randomised)
    )


@GROUP.metric("randomised head", **DECLARED, version="2")
def randomised_head(data: SanityInput) -> Tensor:
    """Similarity of maps before and after randomising the head's weights.

    Weights that start from zeros, as those of `linear`, are put in random order instead.
    """
    return remaining(data.attribution, data.randomised_head)


@GROUP.metric("randomised encoder", **DECLARED, needs="the explained network has no encoder")
def randomised_encoder(data: SanityInput) -> Tensor | None:
    """Similarity of maps before and after randomising the encoder's weights."""
    if data.randomised_encoder is None:
        return None
    return remaining(data.attribution, data.randomised_encoder)


@GROUP.metric("randomised generator", **DECLARED, needs="does not use the generator", version="2")
def randomised_generator(data: SanityInput) -> Tensor | None:
    """Similarity of maps before and after randomising the generator's weights.

    None where all maps are equal but for rounding: the explainer does not use the generator.
    """
    maps = data.randomised_generator
    if maps is None or not is_changed(data.attribution, maps):
        return None
    return remaining(data.attribution, maps)


@GROUP.metric(
    "map of another image",
    better="-",
    lowest=-1,
    formula=SIMILARITY.format("a_i", "a_j") + "; j is one other case of the same output and "
    "another patient",
    fooled_by="A map that is the same for all images gets 1, noise gets 0: it says nothing about "
    "whether maps are right. It is the level that a randomised map must not exceed.",
    source="this project",
    needs="no two patients are explained for the same output",
    over="comparison",
)
def other_image_similarity(data: OtherImagesInput) -> Tensor | None:
    """Similarity of the maps of two different images, as the reference level of the tests."""
    import torch

    if not bool((data.other >= 0).any()):
        return None
    values = torch.full((len(data.other),), torch.nan, dtype=torch.float64)
    for row, other in enumerate(data.other.tolist()):
        if other >= 0:
            own, their = (data.attribution(slice(i, i + 1)) for i in (row, other))
            values[row] = remaining(own, their)[0]
    return values


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
