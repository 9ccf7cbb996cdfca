"""Does the counterfactual flip the model? Only for explainers that make counterfactuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.model_queries import outputs

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model


@dataclass(frozen=True)
class ValidityInput(CaseInput):
    """Counterfactuals, and what the model predicts for them.

    `image`, `base` and `counterfactual` are (N, C, H, W). `reached_target` and
    `unchanged` (N,) are whether the head is on the target side at the counterfactual's latent, and
    whether it predicts there what it predicted before; `reencoded_reached_target` (N,) is whether
    the model is on the target side for the counterfactual image. `steps` (N,) are those of an
    optimiser, `alternatives` (N, K, C, H, W) more counterfactuals of each image.
    """

    model: Model
    target: ExplanationTarget
    image: Tensor
    base: Tensor
    counterfactual: Tensor | None
    reached_target: Tensor | None
    unchanged: Tensor | None
    reencoded_reached_target: Tensor | None
    steps: Tensor | None
    alternatives: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        counterfactual = source.read_optional("explanations", "counterfactual")

        def flags(name: str) -> Tensor | None:
            return None if counterfactual is None else source.read("explanations", name)

        return cls(
            source.model,
            source.target,
            source.image,
            source.base,
            counterfactual,
            reached_target=flags("reached_target"),
            unchanged=flags("unchanged"),
            reencoded_reached_target=flags("reencoded_reached_target"),
            steps=source.read_optional("explanations", "steps"),
            alternatives=source.read_optional("explanations", "alternatives"),
        )


GRID = 8  # regions along each side of an image

GROUP = Group(
    "validity",
    "Validity",
    "does the counterfactual flip the model?",
    case_input=ValidityInput,
    cost="one pass of each counterfactual",
    criticism="Adversarial examples are valid, too: the same methods make them (Freiesleben 2022, "
    "arXiv 2009.05487).",
)


@GROUP.metric(
    "validity",
    formula="share of cases with h(z') on the target side; no counterfactual counts as a failure",
    fooled_by="Adversarial latents: h may flip where the decoded image hardly changes.",
    source="Wachter et al. 2017",
    needs=NO_COUNTERFACTUAL,
)
def validity(data: ValidityInput) -> Tensor | None:
    """Share of counterfactuals whose latent flips the head."""
    return data.reached_target


@GROUP.metric(
    "re-encoded validity",
    formula="share of cases with h(E(x')) on the target side",
    fooled_by="Adversarial pixels, which flip the model itself: read it beside the oracle's.",
    source="this project",
    needs=NO_COUNTERFACTUAL,
)
def reencoded_validity(data: ValidityInput) -> Tensor | None:
    """Share of counterfactual images that still flip the model when they are encoded again."""
    return data.reencoded_reached_target


@GROUP.metric(
    "confidence gain",
    lowest=-1,
    formula="f(x')_t - f(x)_t through pixels; f_t is the probability of the target class, or "
    "that the finding is absent where there are no classes",
    fooled_by="Adversarial pixels; a decoder that loses the finding; probabilities near 0 or 1.",
    source="this project",
    needs=f"{NO_COUNTERFACTUAL}, or the prediction is a value and no probability",
)
def confidence_gain(data: ValidityInput) -> Tensor | None:
    """Rise in the model's probability of the target from the image to its counterfactual."""
    if data.counterfactual is None or data.target.task.kind == "regression":
        return None
    before, after = (
        target_probability(data.target, outputs(data.model, x).double())
        for x in (data.image, data.counterfactual)
    )
    return after - before


def target_probability(target: ExplanationTarget, logits: Tensor) -> Tensor:
    """Probability of the target side: head outputs (N, K) -> (N,)."""
    probabilities = target.task.activate(logits)
    if target.task.kind == "multiclass":
        return probabilities.gather(1, target.target_class[:, None]).squeeze(1)
    return 1 - target.source_output(probabilities)


@GROUP.metric(
    "became another class",
    better="down",
    formula="share of cases where h(z') predicts neither the source nor the target class",
    fooled_by="An explainer that does nothing: read it beside the unchanged rate.",
    source="generative visual rationales (2018), section 3",
    needs=f"{NO_COUNTERFACTUAL}, or there are no classes",
)
def other_class_rate(data: ValidityInput) -> Tensor | None:
    """Share of counterfactuals predicted as a class that is neither source nor target."""
    if data.target.task.kind != "multiclass":
        return None
    if data.reached_target is None or data.unchanged is None:
        return None
    return ~data.reached_target & ~data.unchanged


@GROUP.metric(
    "unchanged rate",
    better="down",
    formula="share of cases where h(z') predicts what it did",
    fooled_by="Adversarial latents, as validity.",
    source="generative visual rationales (2018), section 3",
    needs=NO_COUNTERFACTUAL,
)
def unchanged_rate(data: ValidityInput) -> Tensor | None:
    """Share of counterfactuals still predicted as before."""
    return data.unchanged


@GROUP.metric(
    "optimizer steps",
    better="down",
    highest=INFINITE,
    formula="optimisation steps until the explainer stopped, at most its cap",
    fooled_by="Stopping early: few steps mean nothing where the image does not change.",
    source="generative visual rationales (2018)",
    needs="does not optimise",
)
def optimizer_steps(data: ValidityInput) -> Tensor | None:
    """Optimisation steps used per image."""
    return data.steps


@GROUP.metric(
    "diversity",
    highest=2.0,
    formula="mean |x'_i - x'_j| over pixels, channels and pairs of an image's counterfactuals, of "
    "those with f on the target side, on the [-1, 1] scale",
    fooled_by="Counterfactuals that each change something else that has nothing to do with the "
    "output: read it beside proximity.",
    source="after Mothilal et al. 2020 (DiCE), for pixels",
    needs="returns one counterfactual per image",
)
def diversity(data: ValidityInput) -> Tensor | None:
    """How much the counterfactuals of one image differ from one another.

    NaN where fewer than two of them flip the model.
    """
    import torch

    if data.counterfactual is None or data.alternatives is None:
        return None
    several = torch.cat([data.counterfactual[:, None], data.alternatives], dim=1).double()
    total = several.new_zeros(len(several))
    pairs = total.clone()
    flips = [
        data.target.reached_target(outputs(data.model, images.float()))
        for images in several.unbind(1)
    ]
    for i, images in enumerate(several.unbind(1)):
        for j in range(i):
            both = flips[i] & flips[j]
            total += both * (images - several[:, j]).abs().flatten(1).mean(1)
            pairs += both
    return total / pairs.where(pairs > 0, torch.nan)


@GROUP.metric(
    "redundancy",
    better="down",
    formula="sum of |x' - r| that is undone over all of it: region by region of a grid of "
    f"{GRID} x {GRID}, the least changed first, x' is set back to r where f stays on the target "
    "side; over the x' that are on it",
    fooled_by="Adversarial pixels, all of which are needed. Regions undone in another order may "
    "leave more or less.",
    source="Pawelczyk et al. 2021 (CARLA, redundancy), for regions, and all undone at once",
    needs=NO_COUNTERFACTUAL,
)
def redundancy(data: ValidityInput) -> Tensor | None:
    """Share of the change that can be undone without losing the flip.

    NaN where the counterfactual image does not flip the model, or nothing changes.
    """
    import torch

    if data.counterfactual is None:
        return None
    change = (data.counterfactual - data.base).double().abs().sum(1)  # (N, H, W)
    regions = grid(*change.shape[1:]).to(change.device)
    sizes = change.new_zeros(len(change), GRID**2)
    sizes.index_add_(1, regions.flatten(), change.flatten(1))
    flips = data.target.reached_target(outputs(data.model, data.counterfactual))
    total, undone = sizes.sum(1), change.new_zeros(len(change))
    current = data.counterfactual.clone()
    for place in sizes.argsort(dim=1, stable=True).unbind(1):
        size = sizes.gather(1, place[:, None])[:, 0]
        rows = torch.nonzero(flips & (size > 0))[:, 0]  # of the others nothing can be undone
        if not len(rows):
            continue
        inside = (regions == place[rows, None, None])[:, None]  # (M, 1, H, W)
        trial = data.base[rows].where(inside, current[rows])
        keep = data.target[rows].reached_target(outputs(data.model, trial))
        current[rows[keep]] = trial[keep]
        undone[rows] += keep * size[rows]
    return torch.where(flips & (total > 0), (undone / total).clamp(0, 1), torch.nan)


def grid(height: int, width: int) -> Tensor:
    """Number the regions of an image: (H, W) int64 from 0 to GRID^2 - 1."""
    import torch

    rows, columns = (torch.arange(side) * GRID // side for side in (height, width))
    return rows[:, None] * GRID + columns
