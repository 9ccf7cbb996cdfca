"""Does a slightly different input change the explanation?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.model_queries import normals, outputs, repeated

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model

DRAWS = 8  # noisy copies of each counterfactual
SPREAD = 0.05  # of the noise, on the [-1, 1] scale


@dataclass(frozen=True)
class RobustnessInput(CaseInput):
    """Maps (N, H, W), maps for P perturbed copies of each image (N, P, H, W), and the model.

    `image` and `counterfactual` are (N, C, H, W).
    """

    attribution: Tensor
    perturbed: Tensor
    model: Model
    target: ExplanationTarget
    image: Tensor
    counterfactual: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        return cls(
            source.read("explanations", "attribution"),
            source.read("perturbed", "attribution"),
            source.model,
            source.target,
            source.image,
            source.read_optional("explanations", "counterfactual"),
        )


GROUP = Group(
    "robustness",
    "Robustness",
    "does a slightly different input change the explanation?",
    stages=("perturbed",),
    case_input=RobustnessInput,
    cost="three more explanations of each of 20 cases, of 10 for costly explainers",
    criticism="The map's change is not held against the model's own reaction to the noise "
    "(Agarwal et al. 2022, arXiv 2203.06877).",
)


@GROUP.metric(
    "max sensitivity",
    better="down",
    highest=INFINITE,
    formula="largest ||a_p - a||_2 / ||a||_2 over 3 inputs x_p, |x_p - x| <= 0.02 in each pixel",
    fooled_by="A map that ignores the image: a constant one scores 0.",
    source="Yeh et al. 2019 (as captum computes it)",
    version="2",
)
def max_sensitivity(data: RobustnessInput) -> Tensor:
    """Largest relative change of the map as the input changes imperceptibly.

    NaN where the map is 0 everywhere: it has no size to compare with.
    """
    import torch

    attribution = data.attribution.double()
    size = attribution.flatten(1).norm(dim=1)
    change = (data.perturbed.double() - attribution[:, None]).flatten(2).norm(dim=2).amax(dim=1)
    return torch.where(size > 0, change / size, torch.nan)


@GROUP.metric(
    "invalidation",
    better="down",
    formula=f"share of {DRAWS} draws of N(0, {SPREAD}^2) added to x' that leave the target side; "
    "over the x' that are on it",
    fooled_by="Flipping far past the threshold. Counterfactual images that never flipped do not "
    "count: read it beside re-encoded validity.",
    source="after Pawelczyk et al. 2023 (recourse invalidation rate)",
    needs=NO_COUNTERFACTUAL,
)
def invalidation(data: RobustnessInput) -> Tensor | None:
    """How often faint noise on the counterfactual image undoes its flip.

    NaN where the counterfactual image does not flip the model.
    """
    import torch

    model, target, x = data.model, data.target, data.counterfactual
    if x is None:
        return None
    values = x.new_empty(len(x), dtype=torch.float64)
    for cases, again in repeated(len(x), DRAWS):
        noise = SPREAD * normals(data.image[cases], (DRAWS, *x.shape[1:]))
        flips = target[again].reached_target(outputs(model, x[again] + noise.flatten(0, 1)))
        lost = 1 - flips.view(-1, DRAWS).double().mean(dim=1)
        clean = target[cases].reached_target(outputs(model, x[cases]))
        values[cases] = torch.where(clean, lost, torch.nan)
    return values
