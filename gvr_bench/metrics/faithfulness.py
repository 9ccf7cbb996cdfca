"""Does the map follow the model's own output?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import MAKES_NONE, Evidence, metric
from gvr_bench.metrics.model_queries import (
    BETWEEN,
    NO_MODEL,
    STEPS,
    answers,
    area,
    exchange,
    normals,
    presence,
    repeated,
)

if TYPE_CHECKING:
    from torch import Tensor

# Black, for attribution is about density and black has none: a pixel can only lose what its sign speaks
# of. Blurring does not delete: it made the phantom's model predict more of the finding, not less.
BLACK = -1.0
DRAWS = 64  # noisy copies of each image
SPREAD = 0.2  # of the noise, on the [-1, 1] scale
# The noise is smooth: the model hardly reacts to white noise, and then no map foretells anything
# (on the phantom even the map of the true change left 80 % open, against 62 %).
GRID = 8
SILENT = 1e-5  # a change of the output that rounding may have made


def black(image: Tensor) -> Tensor:
    """Return as many black images."""
    return image.new_full((), BLACK).expand_as(image)


@metric(
    "faithfulness",
    "deletion AUC",
    better="down",
    formula="area under f as pixels turn black, largest a first, in "
    f"{STEPS} equal steps; {BETWEEN}",
    fooled_by="A map of the brightest pixels, which lose most. Where missing density speaks for "
    "the output (negative attribution) there is nothing to delete.",
    source="Petsiuk et al. 2018 (deletion)",
    needs=NO_MODEL,
)
def deletion_auc(evidence: Evidence) -> Tensor | None:
    """How much of the finding the model still sees as the hottest pixels turn black."""
    model, target = evidence.model, evidence.target
    if model is None or target is None:
        return None
    image = evidence.image
    outputs = exchange(model, target, image, black(image), evidence.attribution)
    return area(presence(target, outputs, outputs[0]))


@metric(
    "faithfulness",
    "insertion AUC",
    formula=f"area under f as pixels appear on black, largest a first, in {STEPS} equal steps; "
    f"{BETWEEN}",
    fooled_by="A map of the brightest pixels, as deletion AUC; a few pixels on black are unlike "
    "any image the model was trained on.",
    source="Petsiuk et al. 2018 (insertion), on black instead of a blurred image",
    needs=NO_MODEL,
)
def insertion_auc(evidence: Evidence) -> Tensor | None:
    """How soon the model sees the finding as the hottest pixels appear on black."""
    model, target = evidence.model, evidence.target
    if model is None or target is None:
        return None
    image = evidence.image
    outputs = exchange(model, target, black(image), image, evidence.attribution)
    return area(presence(target, outputs, outputs[-1]))


@metric(
    "faithfulness",
    "infidelity",
    better="down",
    formula="min over b >= 0 of E (b I.a - (f(x) - f(x - I)))^2 / E (f(x) - f(x - I))^2; "
    f"{DRAWS} draws of grey noise I: N(0, {SPREAD}^2) on {GRID} x {GRID} points, enlarged "
    "bilinearly",
    fooled_by="Slopes: the model is asked close to the image, where a gradient foretells best. "
    f"Detail finer than 1/{GRID} of the image is not seen.",
    source="Yeh et al. 2019 as captum computes it with normalize=True, over what is to be foretold",
    needs=NO_MODEL,
)
def infidelity(evidence: Evidence) -> Tensor | None:
    """Share of the output's changes under noise that the map does not foretell.

    NaN where the output does not change. A share, so that neither a saturated probability nor the
    unit of a regression weighs on it; b >= 0, so that a negated map foretells nothing.
    """
    import torch
    import torch.nn.functional as F

    model, target, image = evidence.model, evidence.target, evidence.image
    if model is None or target is None:
        return None
    n, _, h, w = image.shape
    unchanged = target.source_output(answers(model, target, image))
    values = image.new_empty(n, dtype=torch.float64)
    for cases, again in repeated(n, DRAWS):
        noise = SPREAD * normals(image[cases], (DRAWS, GRID, GRID))
        noise = F.interpolate(noise, size=(h, w), mode="bilinear")  # (B, draws, H, W)
        moved = image[again] - noise.flatten(0, 1)[:, None]
        after = target[again].source_output(answers(model, target, moved)).view(-1, DRAWS)
        change = (unchanged[cases, None] - after).double()
        foretold = torch.einsum(
            "bhw,bdhw->bd", evidence.attribution[cases].double(), noise.double()
        )
        values[cases] = unforetold(foretold, change)
    return values


def unforetold(foretold: Tensor, change: Tensor) -> Tensor:
    """Share of the squared changes that the foretold ones, scaled, leave open: (N, P) -> (N,)."""
    import torch

    length = foretold.norm(dim=1, keepdim=True)
    likeness = torch.cosine_similarity(foretold / length.where(length > 0, 1), change, dim=1)
    share = 1 - likeness.clamp(0, 1).square()
    return torch.where(change.square().mean(1).sqrt() > SILENT, share, torch.nan)


@metric(
    "faithfulness",
    "COUT",
    lowest=-1,
    formula="area under f of the target side minus area under f of the source side as pixels of x' "
    f"replace those of x, largest |x' - x| first, in {STEPS} equal steps; the target side is 1 - f "
    f"without classes; f is {BETWEEN}",
    fooled_by="Adversarial pixels: a few that flip the model score best. A weak decoder is blamed "
    "too, for x' differs from x also where it decodes badly.",
    source="Khorram and Fuxin 2022",
    needs=MAKES_NONE,
)
def cout(evidence: Evidence) -> Tensor | None:
    """How soon the counterfactual's most changed pixels bring the model to the target side."""
    model, target, made = evidence.model, evidence.target, evidence.counterfactual
    if model is None or target is None or made is None:
        return None
    changed = (made - evidence.image).abs().mean(dim=1)
    outputs = exchange(model, target, evidence.image, made, changed)
    source = area(presence(target, outputs, outputs[0]))
    if target.task.kind != "multiclass":
        return 1 - 2 * source
    index = target.target_class[None, :, None].expand(len(outputs), -1, 1)
    return area(outputs.gather(2, index).squeeze(2)) - source


FAITHFULNESS = (deletion_auc, insertion_auc, infidelity, cout)
