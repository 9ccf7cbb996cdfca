"""Does the counterfactual look like a real image of where it went?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, metric

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6  # keeps a perfect reconstruction from dividing by zero, and changes nothing else


@metric(
    "realism",
    "IM1",
    better="down",
    highest=INFINITE,
    formula=f"|x' - A_t(x')|^2 over |x' - A_s(x')|^2 + {EPSILON:g}; A_t and A_s are autoencoders "
    "of real images of the target and source side; below 1 is nearer to the target side",
    fooled_by="Autoencoders that reconstruct anything give 1; adversarial pixels may lower it.",
    source="Van Looveren and Klaise 2019",
    needs=f"{MAKES_NONE}, or a side has too few images for an autoencoder",
)
def im1(evidence: Evidence) -> Tensor | None:
    """How much better an autoencoder of the target side knows it than one of the source side."""
    if evidence.target_error is None or evidence.source_error is None:
        return None
    return evidence.target_error.double() / (evidence.source_error.double() + EPSILON)


REALISM = (im1,)
