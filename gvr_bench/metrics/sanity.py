"""Does the map change when the model does? One network at a time gets random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gvr_bench.metrics.base import Evidence, metric
from gvr_bench.metrics.decoding import ssim

if TYPE_CHECKING:
    from torch import Tensor

DECLARED: dict[str, Any] = {
    "better": "down",
    "lowest": -1,
    "formula": "the larger SSIM of a with a_r and with -a_r, each map divided by its largest |a|; "
    "1 for two maps of 0",
    "fooled_by": "Noise: a map that is random anyway is lost whatever is changed. Sparse maps "
    "share their empty areas.",
    "source": "Adebayo et al. 2018, one network at a time",
    "needs": "was not asked again about a model with random weights",
}


def alike(attribution: Tensor, other: Tensor) -> Tensor:
    """Structural similarity of maps, each divided by its largest |attribution|: (N, H, W) -> (N,).

    Two maps of 0 have 1.
    """

    def scaled(maps: Tensor) -> Tensor:
        largest = maps.double().abs().amax(dim=(1, 2), keepdim=True)
        return (maps / largest.where(largest > 0, 1))[:, None]

    return ssim(scaled(attribution), scaled(other))


def kept(evidence: Evidence, changed: str) -> Tensor | None:
    """How much of each map is left. A negated map is the same picture."""
    import torch

    other = evidence.again.get(changed)
    if other is None:
        return None
    return torch.maximum(alike(evidence.attribution, other), alike(evidence.attribution, -other))


@metric("sanity", "randomised head", **DECLARED)
def randomised_head(evidence: Evidence) -> Tensor | None:
    """How much of the map is left when the head's weights are random."""
    return kept(evidence, "randomised_head")


@metric("sanity", "randomised encoder", **DECLARED)
def randomised_encoder(evidence: Evidence) -> Tensor | None:
    """How much of the map is left when the encoder's weights are random."""
    return kept(evidence, "randomised_encoder")


@metric(
    "sanity",
    "randomised generator",
    **{**DECLARED, "needs": "does not use the generator"},
)
def randomised_generator(evidence: Evidence) -> Tensor | None:
    """How much of the map is left when the generator's weights are random.

    Maps that are the same to the last digit were made without it: there is nothing to lose.
    """
    again = evidence.again.get("randomised_generator")
    if again is None or bool((again == evidence.attribution).all()):
        return None
    return kept(evidence, "randomised_generator")


SANITY = (randomised_head, randomised_encoder, randomised_generator)
