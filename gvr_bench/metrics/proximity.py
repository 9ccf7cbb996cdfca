"""How much does the counterfactual change, measured from where it starts?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.image_similarity import RANGE, WINDOW, ssim

if TYPE_CHECKING:
    from torch import Tensor

NO_LATENT = "does not move a latent"
CHANGED = 0.1  # on the [-1, 1] scale: what a reader can see


@dataclass(frozen=True)
class ProximityInput(CaseInput):
    """Images (N, C, H, W) and latents (N, D) before and after.

    `start` and `latent` are the latents of the image and of the counterfactual, None where the
    explainer has none; `norm` is the median length of a training latent.
    """

    base: Tensor
    counterfactual: Tensor | None
    start: Tensor | None
    latent: Tensor | None
    norm: float | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        latent = source.read_optional("explanations", "latent")
        return cls(
            base=source.base,
            counterfactual=source.read_optional("explanations", "counterfactual"),
            start=source.read_optional("explanations", "start"),
            latent=latent,
            norm=None if latent is None else source.latent_norm,
        )


GROUP = Group(
    "proximity",
    "Proximity",
    "how much does the counterfactual change?",
    stages=("latents",),
    case_input=ProximityInput,
    cost="no pass of the model",
    criticism="The best scores go to tiny, adversarial changes (Hvilshoj et al. 2021, arXiv "
    "2111.00177).",
)


def rationale(data: ProximityInput) -> Tensor | None:
    """x' - r, flattened: (N, C * H * W) float64."""
    if data.counterfactual is None:
        return None
    return (data.counterfactual.double() - data.base.double()).flatten(1)


@GROUP.metric(
    "rationale L1",
    better="down",
    highest=RANGE,
    formula="mean |x' - r| over pixels and channels, on the [-1, 1] scale",
    fooled_by="Changing nothing gets 0: read it beside validity.",
    source="Wachter et al. 2017; gifsplanation (2021) measures against r as well",
    needs=NO_COUNTERFACTUAL,
)
def rationale_l1(data: ProximityInput) -> Tensor | None:
    """Mean absolute change of the decoded image."""
    change = rationale(data)
    return None if change is None else change.abs().mean(1)


@GROUP.metric(
    "rationale L2",
    better="down",
    highest=RANGE,
    formula="root of the mean (x' - r)^2 over pixels and channels, on the [-1, 1] scale",
    fooled_by="Changing nothing gets 0: read it beside validity.",
    source="Wachter et al. 2017",
    needs=NO_COUNTERFACTUAL,
)
def rationale_l2(data: ProximityInput) -> Tensor | None:
    """Root of the mean squared change of the decoded image."""
    change = rationale(data)
    return None if change is None else change.square().mean(1).sqrt()


@GROUP.metric(
    "rationale maximum",
    better="down",
    highest=RANGE,
    formula="max |x' - r| over pixels and channels, on the [-1, 1] scale",
    fooled_by="One pixel decides; a faint change of the whole image gets little.",
    source="Wachter et al. 2017",
    needs=NO_COUNTERFACTUAL,
)
def rationale_linf(data: ProximityInput) -> Tensor | None:
    """Largest change of a pixel of the decoded image."""
    change = rationale(data)
    return None if change is None else change.abs().amax(1)


@GROUP.metric(
    "rationale SSIM",
    lowest=-1,
    formula=f"mean SSIM of x' and r over windows of {WINDOW} x {WINDOW} pixels, range {RANGE:g}",
    fooled_by="Changing nothing gets 1. Flat regions weigh as much as anatomy.",
    source="Wang et al. 2004; scikit-image, structural_similarity",
    needs=f"{NO_COUNTERFACTUAL}, or images are smaller than the window",
)
def rationale_ssim(data: ProximityInput) -> Tensor | None:
    """Structural similarity of the counterfactual and the picture it starts from."""
    if data.counterfactual is None:
        return None
    return ssim(data.counterfactual.double(), data.base.double())


@GROUP.metric(
    "changed area",
    better="down",
    formula=f"share of pixels with |x' - r| > {CHANGED} in any channel, on the [-1, 1] scale",
    fooled_by="Faint changes everywhere stay below the limit; changing nothing gets 0.",
    source="this project",
    needs=NO_COUNTERFACTUAL,
)
def changed_area(data: ProximityInput) -> Tensor | None:
    """Share of the image that visibly changes."""
    if data.counterfactual is None:
        return None
    change = (data.counterfactual - data.base).abs() > CHANGED  # (N, C, H, W)
    return change.any(1).flatten(1).double().mean(1)


@GROUP.metric(
    "latent distance",
    better="down",
    highest=INFINITE,
    formula="|z' - z|, Euclidean",
    fooled_by="The scale of the latent space: compare within one generator only.",
    source="generative visual rationales (2018)",
    needs=NO_LATENT,
)
def latent_l2(data: ProximityInput) -> Tensor | None:
    """Distance from the latent of the image to that of the counterfactual."""
    import torch

    if data.latent is None or data.start is None:
        return None
    moved: Tensor = torch.linalg.vector_norm((data.latent - data.start).double(), dim=1)
    return moved


@GROUP.metric(
    "latent length",
    better="-",
    highest=INFINITE,
    formula="|z'| over the median |z| of the training images; 1 is typical",
    fooled_by="Length alone: a latent of typical length may still lie where no image does.",
    source="this project",
    needs=NO_LATENT,
)
def latent_norm_ratio(data: ProximityInput) -> Tensor | None:
    """Length of the counterfactual's latent, divided by the median length of training latents."""
    import torch

    if data.latent is None or not data.norm:
        return None
    length: Tensor = torch.linalg.vector_norm(data.latent.double(), dim=1)
    return length / data.norm
