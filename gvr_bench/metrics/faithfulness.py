"""Does the map follow the model's own output?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.model_queries import (
    BETWEEN,
    STEPS,
    activated,
    area,
    exchange,
    normals,
    presence,
    repeated,
)

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model

# Black has no density, so that a pixel can only lose what its attribution speaks for. Blurring does
# not delete: it made the phantom's model predict more of the finding, not less.
BLACK = -1.0
DRAWS = 64  # noisy copies of each image
SPREAD = 0.2  # of the noise, on the [-1, 1] scale
# The noise is smooth: the model hardly reacts to white noise, and then no map predicts anything
# (on the phantom even the map of the true change failed to predict 80 %, against 62 %).
GRID = 8
SILENT = 1e-5  # a change of the output that rounding may have made


@dataclass(frozen=True)
class FaithfulnessInput(CaseInput):
    """The model, images and counterfactuals (N, C, H, W), and signed maps (N, H, W)."""

    model: Model
    target: ExplanationTarget
    image: Tensor
    attribution: Tensor
    counterfactual: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        return cls(
            source.model,
            source.target,
            source.image,
            attribution=source.read("explanations", "attribution"),
            counterfactual=source.read_optional("explanations", "counterfactual"),
        )


GROUP = Group(
    "faithfulness",
    "Faithfulness",
    "does the map agree with how the model reacts to changes?",
    case_input=FaithfulnessInput,
)


def black(image: Tensor) -> Tensor:
    """Return as many black images."""
    return image.new_full((), BLACK).expand_as(image)


@GROUP.metric(
    "deletion AUC",
    better="down",
    formula="area under f as pixels turn black, largest a first, in "
    f"{STEPS} equal steps; {BETWEEN}",
    fooled_by="A map of the brightest pixels, which lose most. Where missing density speaks for "
    "the output (negative attribution) there is nothing to delete.",
    source="Petsiuk et al. 2018 (deletion)",
)
def deletion_auc(data: FaithfulnessInput) -> Tensor:
    """How much of the finding the model still predicts as the hottest pixels turn black."""
    target, image = data.target, data.image
    steps = exchange(data.model, target.task, image, black(image), data.attribution)
    return area(presence(target, steps, steps[0]))


@GROUP.metric(
    "insertion AUC",
    formula=f"area under f as pixels appear on black, largest a first, in {STEPS} equal steps; "
    f"{BETWEEN}",
    fooled_by="A map of the brightest pixels, as deletion AUC; a few pixels on black are unlike "
    "any image the model was trained on.",
    source="Petsiuk et al. 2018 (insertion), on black instead of a blurred image",
)
def insertion_auc(data: FaithfulnessInput) -> Tensor:
    """How soon the model predicts the finding as the hottest pixels appear on black."""
    target, image = data.target, data.image
    steps = exchange(data.model, target.task, black(image), image, data.attribution)
    return area(presence(target, steps, steps[-1]))


@GROUP.metric(
    "infidelity",
    better="down",
    formula="min over b >= 0 of E (b I.a - (f(x) - f(x - I)))^2 / E (f(x) - f(x - I))^2; "
    f"{DRAWS} draws of grey noise I: N(0, {SPREAD}^2) on {GRID} x {GRID} points, enlarged "
    "bilinearly",
    fooled_by="Slopes: the changes are small, and a gradient predicts small changes best. "
    f"Detail finer than 1/{GRID} of the image is not seen.",
    source="Yeh et al. 2019 as captum computes it with normalize=True, divided by the mean "
    "squared change",
)
def infidelity(data: FaithfulnessInput) -> Tensor:
    """Share of the variance in the model's response to noise that the map fails to predict.

    NaN where the output does not change. A share, so that neither a saturated probability nor the
    unit of a regression matters; b >= 0, so that a negated map predicts nothing.
    """
    import torch
    import torch.nn.functional as F

    model, target, image = data.model, data.target, data.image
    n, _, h, w = image.shape
    unchanged = target.source_output(activated(model, target.task, image))
    values = image.new_empty(n, dtype=torch.float64)
    for cases, again in repeated(n, DRAWS):
        noise = SPREAD * normals(image[cases], (DRAWS, GRID, GRID))
        noise = F.interpolate(noise, size=(h, w), mode="bilinear")  # (B, draws, H, W)
        moved = image[again] - noise.flatten(0, 1)[:, None]
        after = target[again].source_output(activated(model, target.task, moved))
        change = (unchanged[cases, None] - after.view(-1, DRAWS)).double()
        maps = data.attribution[cases].double()
        values[cases] = unexplained(torch.einsum("bhw,bdhw->bd", maps, noise.double()), change)
    return values


def unexplained(predicted: Tensor, change: Tensor) -> Tensor:
    """Share of the squared changes that the best multiple of `predicted` misses: (N, P) -> (N,)."""
    import torch

    length = predicted.norm(dim=1, keepdim=True)
    cosine = torch.cosine_similarity(predicted / length.where(length > 0, 1), change, dim=1)
    share = 1 - cosine.clamp(0, 1).square()
    return torch.where(change.square().mean(1).sqrt() > SILENT, share, torch.nan)


@GROUP.metric(
    "COUT",
    lowest=-1,
    formula="area under f of the target side minus area under f of the source side as pixels of x' "
    f"replace those of x, largest |x' - x| first, in {STEPS} equal steps; the target side is 1 - f "
    f"without classes; f is {BETWEEN}",
    fooled_by="Adversarial pixels: a few that flip the model score best. A weak decoder is blamed "
    "too, for x' differs from x also where it decodes badly.",
    source="Khorram and Fuxin 2022",
    needs=NO_COUNTERFACTUAL,
)
def cout(data: FaithfulnessInput) -> Tensor | None:
    """How soon the model reaches the target side as the most changed pixels are swapped in."""
    target, image, end = data.target, data.image, data.counterfactual
    if end is None:
        return None
    steps = exchange(data.model, target.task, image, end, (end - image).abs().mean(dim=1))
    source = area(presence(target, steps, steps[0]))
    if target.task.kind != "multiclass":
        return 1 - 2 * source
    index = target.target_class[None, :, None].expand(len(steps), -1, 1)
    return area(steps.gather(2, index).squeeze(2)) - source
