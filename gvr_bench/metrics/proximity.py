"""How much does the counterfactual change? All against the reconstruction: the rationale itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, metric
from gvr_bench.metrics.decoding import RANGE, WINDOW, ssim

if TYPE_CHECKING:
    from torch import Tensor

NO_LATENT = "moves no latent"
CHANGED = 0.1  # on the [-1, 1] scale: what a reader can see


def rationale(evidence: Evidence) -> Tensor | None:
    """x' - r, flattened: (N, C * H * W) float64."""
    if evidence.counterfactual is None:
        return None
    return (evidence.counterfactual.double() - evidence.reconstruction.double()).flatten(1)


@metric(
    "proximity",
    "rationale L1",
    better="down",
    highest=RANGE,
    formula="mean |x' - r| over pixels and channels, on the [-1, 1] scale",
    fooled_by="Changing nothing gets 0: read it beside validity.",
    source="Wachter et al. 2017; gifsplanation (2021) measures against r as well",
    needs=MAKES_NONE,
)
def rationale_l1(evidence: Evidence) -> Tensor | None:
    """Mean absolute change of the decoded image."""
    change = rationale(evidence)
    return None if change is None else change.abs().mean(1)


@metric(
    "proximity",
    "rationale L2",
    better="down",
    highest=RANGE,
    formula="root of the mean (x' - r)^2 over pixels and channels, on the [-1, 1] scale",
    fooled_by="Changing nothing gets 0: read it beside validity.",
    source="Wachter et al. 2017",
    needs=MAKES_NONE,
)
def rationale_l2(evidence: Evidence) -> Tensor | None:
    """Root of the mean squared change of the decoded image."""
    change = rationale(evidence)
    return None if change is None else change.square().mean(1).sqrt()


@metric(
    "proximity",
    "rationale maximum",
    better="down",
    highest=RANGE,
    formula="max |x' - r| over pixels and channels, on the [-1, 1] scale",
    fooled_by="One pixel decides; a faint change of the whole image gets little.",
    source="Wachter et al. 2017",
    needs=MAKES_NONE,
)
def rationale_linf(evidence: Evidence) -> Tensor | None:
    """Largest change of a pixel of the decoded image."""
    change = rationale(evidence)
    return None if change is None else change.abs().amax(1)


@metric(
    "proximity",
    "rationale SSIM",
    lowest=-1,
    formula=f"mean SSIM of x' and r over windows of {WINDOW} x {WINDOW} pixels, range {RANGE:g}",
    fooled_by="Changing nothing gets 1. Flat regions weigh as much as anatomy.",
    source="Wang et al. 2004; scikit-image, structural_similarity",
    needs=f"{MAKES_NONE}, or images are smaller than the window",
)
def rationale_ssim(evidence: Evidence) -> Tensor | None:
    """Structural similarity of the counterfactual and the reconstruction."""
    if evidence.counterfactual is None:
        return None
    return ssim(evidence.counterfactual.double(), evidence.reconstruction.double())


@metric(
    "proximity",
    "changed area",
    better="down",
    formula=f"share of pixels with |x' - r| > {CHANGED} in any channel, on the [-1, 1] scale",
    fooled_by="Faint changes everywhere stay below the limit; changing nothing gets 0.",
    source="this project",
    needs=MAKES_NONE,
)
def changed_area(evidence: Evidence) -> Tensor | None:
    """Share of the image that visibly changes."""
    if evidence.counterfactual is None:
        return None
    change = (evidence.counterfactual - evidence.reconstruction).abs() > CHANGED  # (N, C, H, W)
    return change.any(1).flatten(1).double().mean(1)


@metric(
    "proximity",
    "latent distance",
    better="down",
    highest=INFINITE,
    formula="|z' - z|, Euclidean",
    fooled_by="The scale of the latent space: compare within one generator only.",
    source="generative visual rationales (2018)",
    needs=NO_LATENT,
)
def latent_l2(evidence: Evidence) -> Tensor | None:
    """Distance from the latent of the image to that of the counterfactual."""
    import torch

    if evidence.latent is None or evidence.start is None:
        return None
    moved: Tensor = torch.linalg.vector_norm((evidence.latent - evidence.start).double(), dim=1)
    return moved


@metric(
    "proximity",
    "latent length",
    better="-",
    highest=INFINITE,
    formula="|z'| over the median |z| of the training images; 1 is the usual length",
    fooled_by="Length alone: a latent of the usual length may still lie where no image does.",
    source="this project",
    needs=NO_LATENT,
)
def latent_norm_ratio(evidence: Evidence) -> Tensor | None:
    """How long the counterfactual's latent is, in units of a usual one."""
    import torch

    if evidence.latent is None or not evidence.norm:
        return None
    length: Tensor = torch.linalg.vector_norm(evidence.latent.double(), dim=1)
    return length / evidence.norm


PROXIMITY = (
    rationale_l1,
    rationale_l2,
    rationale_linf,
    rationale_ssim,
    changed_area,
    latent_l2,
    latent_norm_ratio,
)
