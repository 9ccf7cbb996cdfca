"""Does a slightly other input change the answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, metric
from gvr_bench.metrics.model_queries import ask, normals, repeated

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 8  # noisy copies of each counterfactual
SPREAD = 0.05  # of the noise, on the [-1, 1] scale


@metric(
    "robustness",
    "max sensitivity",
    better="down",
    highest=INFINITE,
    formula="largest ||a_p - a||_2 / ||a||_2 over inputs x_p with |x_p - x| <= 0.02 in each pixel",
    fooled_by="A map that ignores the image: a constant one scores 0.",
    source="Yeh et al. 2019 (as captum computes it)",
    needs="was not asked again about perturbed inputs",
)
def max_sensitivity(evidence: Evidence) -> Tensor | None:
    """Largest relative change of the map as the input changes imperceptibly.

    NaN where the map is 0 everywhere: it has no size to compare with.
    """
    import torch

    perturbed = evidence.again.get("perturbed")  # (N, P, H, W)
    if perturbed is None:
        return None
    attribution = evidence.attribution.double()
    size = attribution.flatten(1).norm(dim=1)
    change = (perturbed.double() - attribution[:, None]).flatten(2).norm(dim=2).amax(dim=1)
    return torch.where(size > 0, change / size, torch.nan)


@metric(
    "robustness",
    "invalidation",
    better="down",
    formula=f"share of {DRAWS} draws of N(0, {SPREAD}^2) added to x' that leave the target side; "
    "over the x' that are on it",
    fooled_by="Flipping far past the threshold. Counterfactual images that never flipped do not "
    "count: read it beside re-encoded validity.",
    source="after Pawelczyk et al. 2023 (recourse invalidation rate)",
    needs=MAKES_NONE,
)
def invalidation(evidence: Evidence) -> Tensor | None:
    """How often faint noise on the counterfactual image undoes its flip.

    NaN where the counterfactual image does not flip the model.
    """
    import torch

    model, target, made = evidence.model, evidence.target, evidence.counterfactual
    if model is None or target is None or made is None:
        return None
    values = made.new_empty(len(made), dtype=torch.float64)
    for cases, again in repeated(len(made), DRAWS):
        noise = SPREAD * normals(evidence.image[cases], (DRAWS, *made.shape[1:]))
        flips = target[again].reached_target(ask(model, made[again] + noise.flatten(0, 1)))
        lost = 1 - flips.view(-1, DRAWS).double().mean(dim=1)
        clean = target[cases].reached_target(ask(model, made[cases]))
        values[cases] = torch.where(clean, lost, torch.nan)
    return values


ROBUSTNESS = (max_sensitivity, invalidation)
