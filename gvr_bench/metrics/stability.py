"""Is the map the same from another seed, and another from a model that is spoilt?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import Evidence, metric
from gvr_bench.metrics.sanity import alike

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    "repeatability",
    "repeatability",
    lowest=-1,
    formula="SSIM of the maps from two seeds of the whole pipeline, each divided by its largest "
    "|a|; 1 for two maps of 0",
    fooled_by="A map that ignores the model: the image's own edges score 1. Sparse maps share "
    "their empty areas.",
    source="Arun et al. 2021",
    needs="was not repeated with another seed",
)
def repeatability(evidence: Evidence) -> Tensor | None:
    """How alike the maps of two trainings are that differ in their seed."""
    other = evidence.again.get("other_seed")
    return None if other is None else alike(evidence.attribution, other)


@metric(
    "contamination",
    "contamination gap",
    lowest=-1,
    formula="pixel AP with the clean head minus pixel AP with a head fitted on the test images",
    fooled_by="Chance: maps that were never right have nothing to lose. Read it beside pixel AP.",
    source="this project",
    needs="no masks are known, or the head cannot be contaminated",
)
def contamination_gap(evidence: Evidence) -> Tensor | None:
    """How much of the map's agreement with the finding is lost when the head has seen the test."""
    if evidence.clean is None or evidence.contaminated is None:
        return None
    return evidence.clean.double() - evidence.contaminated.double()


REPEATABILITY = (repeatability,)
CONTAMINATION = (contamination_gap,)
