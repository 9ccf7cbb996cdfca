"""How fast does the map change as the explained network is randomised from its output down?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import CaseInput, Group, Metric, Source
from gvr_bench.metrics.sanity import SIMILARITY, remaining

if TYPE_CHECKING:
    from torch import Tensor

DEPTHS = {f"cascade_{percent}": percent for percent in (25, 50, 75, 100)}
"""The modules of the explained network that get random weights, in % of those with weights."""


@dataclass(frozen=True)
class CascadeInput(CaseInput):
    """Maps (N, H, W) for the model, and for the model with so many % of its modules randomised.

    The latter are NaN for cases that are not explained again.
    """

    attribution: Tensor
    cascade_25: Tensor
    cascade_50: Tensor
    cascade_75: Tensor
    cascade_100: Tensor

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read them."""
        return cls(*(source.read(stage, "attribution") for stage in ("explanations", *DEPTHS)))


GROUP = Group(
    "cascade",
    "Cascade",
    "how fast does the map change as the model is randomised from its output down?",
    default=False,
    stages=tuple(DEPTHS),
    case_input=CascadeInput,
    cost="four more explanations of each of 20 cases, of 10 for costly explainers",
    criticism="Upper layers pass on much of what the lower ones compute even with random weights, "
    "so a right map may stay similar for long (Binder et al. 2023, arXiv 2211.12486).",
)


def _declare(name: str, percent: int) -> Metric:
    def similarity(data: CascadeInput) -> Tensor:
        return remaining(data.attribution, getattr(data, name))

    part = "all" if percent == 100 else f"the last {percent} % of the"
    similarity.__name__ = name
    similarity.__doc__ = f"Similarity of maps before and after randomising {part} modules."
    return GROUP.metric(
        f"{percent} % random",
        better="-",
        lowest=-1,
        formula=SIMILARITY.format("a", "a_r") + "; modules with weights count from the output of "
        "the explained network down to the image",
        fooled_by="Noise changes at once, and the image's own edges never do; neither says whether "
        "the map of the trained model is right.",
        source="Adebayo et al. 2018, cascading randomisation",
    )(similarity)


METRICS = tuple(_declare(name, percent) for name, percent in DEPTHS.items())
