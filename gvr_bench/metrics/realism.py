"""Does the counterfactual look like a real image of the target side?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6  # keeps a perfect reconstruction from dividing by zero, and changes nothing else


@dataclass(frozen=True)
class RealismInput(CaseInput):
    """Squared errors (N,) of autoencoders of either side at the counterfactuals."""

    target_error: Tensor | None
    source_error: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Pass the counterfactuals through the autoencoders."""
        counterfactual = source.read_optional("explanations", "counterfactual")
        if counterfactual is None:
            return cls(None, None)
        return cls(*source.class_errors(counterfactual))


GROUP = Group(
    "realism",
    "Realism",
    "does the counterfactual look like a real image?",
    stages=("class_autoencoders",),
    case_input=RealismInput,
    cost="the training of two autoencoders for each data set, and two passes of each "
    "counterfactual",
    criticism="Some metrics of realism do not tell good counterfactuals from bad ones on "
    "complex images, and reward adversarial changes (Hvilshoj et al. 2021, arXiv "
    "2111.00177).",
)


@GROUP.metric(
    "IM1",
    better="down",
    highest=INFINITE,
    formula=f"|x' - A_t(x')|^2 over |x' - A_s(x')|^2 + {EPSILON:g}; A_t and A_s are autoencoders "
    "of real images of the target and source side; below 1 is nearer to the target side",
    fooled_by="Autoencoders that reconstruct anything give 1; adversarial pixels may lower it.",
    source="Van Looveren and Klaise 2019",
    needs=f"{NO_COUNTERFACTUAL}, or a side has too few images for an autoencoder",
)
def im1(data: RealismInput) -> Tensor | None:
    """Ratio of reconstruction errors: autoencoder trained on target images versus one trained on
    source images. Below 1 means it looks like the target class.
    """
    if data.target_error is None or data.source_error is None:
        return None
    return data.target_error.double() / (data.source_error.double() + EPSILON)
