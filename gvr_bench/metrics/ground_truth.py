"""Does the map show what is truly there? For data whose masks or counterfactuals are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from gvr_bench.metrics.base import INFINITE, NO_COUNTERFACTUAL, CaseInput, Group, Source
from gvr_bench.metrics.case_specific import (
    ComparisonInput,
    identifications,
    specific_correlations,
)
from gvr_bench.metrics.earth_mover import PARCELS, transport_cost
from gvr_bench.metrics.image_similarity import RANGE, l1
from gvr_bench.metrics.pixel_overlap import (
    average_precision,
    otsu_overlap,
    roc_auc,
    shares,
    sizes,
    where_known,
)
from gvr_bench.metrics.proximity import CHANGED
from gvr_bench.metrics.true_change import correlation, same_sign, true_change, true_map

if TYPE_CHECKING:
    from torch import Tensor

NO_MASKS, NO_TRUTH = "no masks are known", "no true counterfactuals are known"
NO_TRUTH_AT_ALL = "neither masks nor true counterfactuals are known"
NO_CHANGE = f"{NO_COUNTERFACTUAL}, or {NO_TRUTH}"


@dataclass(frozen=True)
class GroundTruthInput(CaseInput):
    """Maps and counterfactuals, and what the data set knows about each image.

    `attribution` (N, H, W) is signed; `mask` and `distractor` (N, H, W) are bool; `true_change`
    (N, H, W) is the image minus its true counterfactual, `true_map` (N, H, W) what a perfect map
    shows: that change, or its size where maps show evidence. `base`, `counterfactual` and
    `decoded_truth`, the true counterfactual encoded and decoded, are (N, C, H, W).
    """

    attribution: Tensor
    mask: Tensor | None
    distractor: Tensor | None
    true_change: Tensor | None
    true_map: Tensor | None
    decoded_truth: Tensor | None
    base: Tensor
    counterfactual: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it, and decode the true counterfactuals."""
        truth, change = source.true_counterfactual, true_change(source)
        counterfactual = source.read_optional("explanations", "counterfactual")
        return cls(
            attribution=source.read("explanations", "attribution"),
            mask=source.read_optional("cases", "mask"),
            distractor=source.read_optional("cases", "distractor"),
            true_change=change,
            true_map=true_map(change, source),
            decoded_truth=None if truth is None or counterfactual is None else source.decode(truth),
            base=source.base,
            counterfactual=counterfactual,
        )

    @property
    def changes(self) -> tuple[Tensor, Tensor] | None:
        """The counterfactual's change and the true one (N, H * W) float64, None where unknown."""
        if self.counterfactual is None or self.true_change is None:
            return None
        change = (self.base - self.counterfactual).double().mean(1)
        return change.flatten(1), self.true_change.double().flatten(1)


TEXT = "does the map show what is truly there?"
GROUP = Group(
    "truth", "Ground truth", TEXT, case_input=GroundTruthInput, comparison_input=ComparisonInput,
    cost="no pass of the model",
    criticism="A model may use other pixels to cancel noise (Haufe et al. 2014; Wilming et al. "
    "2022, arXiv 2111.07473): a map that shows them is counted as wrong.",
)  # fmt: skip


@GROUP.metric(
    "case-specific correlation",
    version="2",
    lowest=-1,
    formula="cosine of u(a_i) and u(d_i); d is x - x*, |x - x*| where maps show evidence, or m "
    "where x* is not known and then a is |a|; maps at mean 0 and length 1; u(v_i) is v_i minus its "
    "projection on the mean of v_j over the other cases j of the same output; 0 where u(a_i) is 0",
    fooled_by="Edges and other detail of the image itself, where the finding's shape follows the "
    "anatomy: read it beside the controls. With few cases the mean of the others is uncertain.",
    source="this project",
    needs=NO_TRUTH_AT_ALL,
    over="comparison",
)
def case_specific_correlation(data: ComparisonInput) -> Tensor | None:
    """Correlation of map and true change after what all cases have in common is removed from both.

    A map that is the same for every case gets 0, the true change 1. NaN where the true change is
    the same for all cases.
    """
    if data.attribution is None or data.truth is None:
        return None
    return specific_correlations(data.alike, data.attribution, data.truth)


@GROUP.metric(
    "case identification",
    version="2",
    formula="share of the other cases j of the same output with r(a_i, d_i) > r(a_i, d_j), ties "
    "half; d is x - x*, |x - x*| where maps show evidence, or m where x* is not known and then a "
    "is |a|; r is Pearson's",
    fooled_by="Any trace of the image in the map: an edge map, which ignores the model, tells "
    "cases apart too. Read it beside the controls.",
    source="this project",
    needs=NO_TRUTH_AT_ALL,
    over="comparison",
)
def case_identification(data: ComparisonInput) -> Tensor | None:
    """Share of other cases whose true change fits the map less well than that of its own case.

    A map that is the same for every case gets 0.5 on average, the true change 1.
    """
    if data.attribution is None or data.truth is None:
        return None
    return identifications(data.alike, data.attribution, data.truth)


@GROUP.metric(
    "pixel AP",
    formula="AP of |a| against m, over the pixels of an image",
    fooled_by="A large mask: chance is the mask's share of the image. The sign is not seen.",
    source="Arun et al. 2021 (AUPRC)",
    needs=NO_MASKS,
)
def pixel_ap(data: GroundTruthInput) -> Tensor | None:
    """Average precision of |attribution| as a classifier of the finding's pixels."""
    return None if data.mask is None else average_precision(data.attribution, data.mask)


@GROUP.metric(
    "pixel AUROC",
    formula="share of pairs of a pixel in m and one outside with the larger |a| in m, ties half",
    fooled_by="The large background: a small finding among many wrong pixels still gets 0.9; "
    "pixel AP tells them apart.",
    source="scikit-learn, roc_auc_score",
    needs=NO_MASKS,
)
def pixel_roc_auc(data: GroundTruthInput) -> Tensor | None:
    """Area under the receiver operating curve of |attribution| against the finding's pixels.

    0.5 is chance.
    """
    return None if data.mask is None else roc_auc(data.attribution, data.mask)


@GROUP.metric(
    "pointing hit",
    formula="share of the pixels where |a| is largest that lie in m: 1 or 0 where there is one",
    fooled_by="One lucky pixel; a large mask, whose share of the image is chance.",
    source="Zhang et al. 2018; Saporta et al. 2022 (CheXlocalize hit rate)",
    needs=NO_MASKS,
)
def pointing_hit(data: GroundTruthInput) -> Tensor | None:
    """Whether the pixel with the largest |attribution| lies in the finding; ties count in part."""
    if data.mask is None:
        return None
    attribution, mask = sizes(data.attribution), data.mask.flatten(1)
    hottest = attribution == attribution.amax(1, keepdim=True)
    return where_known((hottest & mask).sum(1) / hottest.sum(1), mask)


@GROUP.metric(
    "IoU, Otsu",
    formula="IoU of m with the pixels where |a| > t, Otsu's threshold of |a|; a constant map has "
    "none and counts as uniform noise does, half of whose pixels are drawn at random",
    fooled_by="Smooth halos, which widen the area past the threshold of a map that peaks right.",
    source="Saporta et al. 2022 (CheXlocalize); scikit-image, threshold_otsu",
    needs=NO_MASKS,
)
def iou_otsu(data: GroundTruthInput) -> Tensor | None:
    """Overlap of the finding with the pixels above Otsu's threshold of the map."""
    return None if data.mask is None else otsu_overlap(data.attribution, data.mask)


@GROUP.metric(
    "mass accuracy",
    formula="sum of |a| in m over sum of |a|; a map of zeros counts as a constant one",
    fooled_by="Faint noise over a large background; a single pixel in m gets 1.",
    source="Arras et al. 2022 (CLEVR-XAI)",
    needs=NO_MASKS,
)
def mass_accuracy(data: GroundTruthInput) -> Tensor | None:
    """Share of |attribution| that lies in the finding."""
    if data.mask is None:
        return None
    mask = data.mask.flatten(1)
    return where_known((shares(data.attribution) * mask).sum(1), mask)


@GROUP.metric(
    "earth mover's score",
    formula="1 - W1(|a|, m) / D, both scaled to mass 1, D the image's diagonal; W1 by optimal "
    f"matching of {PARCELS} equal parcels of the mass they do not share; zeros count as a constant "
    "map",
    fooled_by="A constant map, which often gets 0.6 or more: read it beside the controls.",
    source="Clark et al. 2024 (XAI-TRIS)",
    needs=NO_MASKS,
)
def emd_score(data: GroundTruthInput) -> Tensor | None:
    """How close |attribution| is to the finding: 1 where it lies in it, less the further it
    must move.
    """
    import torch

    if data.mask is None:
        return None
    n, h, w = data.attribution.shape
    maps = shares(data.attribution).reshape(n, h, w).cpu().numpy()
    masks = data.mask.double().cpu().numpy()
    values = torch.full((n,), torch.nan, dtype=torch.float64)
    for i, (attribution, mask) in enumerate(zip(maps, masks, strict=True)):
        if mask.any() and not mask.all():
            values[i] = 1 - transport_cost(attribution, mask) / np.hypot(h - 1, w - 1)
    return values.clamp(0, 1)  # rounding


@GROUP.metric(
    "distractor mass",
    better="down",
    formula="sum of |a| in d outside m over sum of |a|; a map of zeros counts as a constant one",
    fooled_by="Attribution anywhere else: a map beside both the finding and the distractor gets 0.",
    source="this project",
    needs="no distractors are known",
)
def distractor_mass(data: GroundTruthInput) -> Tensor | None:
    """Share of |attribution| on structures that correlate with the label but do not cause it."""
    if data.distractor is None:
        return None
    distractor = data.distractor.flatten(1)
    if data.mask is not None:
        distractor = distractor & ~data.mask.flatten(1)
    return where_known((shares(data.attribution) * distractor).sum(1), distractor)


@GROUP.metric(
    "true-change correlation",
    version="2",
    lowest=-1,
    formula="Pearson's r of a with x - x*, or |x - x*| where maps show evidence, over the pixels "
    "of an image; 0 for a constant map",
    fooled_by="Amplitude: a faint map of the right shape scores as well as one of the right size.",
    source="this project",
    needs=NO_TRUTH,
)
def true_change_correlation(data: GroundTruthInput) -> Tensor | None:
    """Correlation of the signed attribution with what a perfect map shows of the finding."""
    return None if data.true_map is None else correlation(data.attribution, data.true_map)


@GROUP.metric(
    "sign accuracy",
    version="2",
    formula="share of the truly changed pixels where a has the sign of x - x*, or is positive "
    "where maps show evidence; a = 0 and constant maps count half; changed is "
    f"|x - x*| > {CHANGED}, or half its maximum where that is less",
    fooled_by="Maps without a sign, where maps show evidence or the finding adds density only; "
    "attribution beside the finding.",
    source="this project",
    needs=NO_TRUTH,
)
def sign_accuracy(data: GroundTruthInput) -> Tensor | None:
    """Share of the truly changed pixels where the map has the sign of a perfect one."""
    return None if data.true_map is None else same_sign(data.attribution, data.true_map)


@GROUP.metric(
    "true-change MAE",
    better="down",
    highest=RANGE,
    formula="mean |x' - G(E(x*))| over pixels and channels, on the [-1, 1] scale",
    fooled_by="Small findings: changing nothing costs no more than the finding's own mean change.",
    source="this project",
    needs=NO_CHANGE,
)
def true_change_mae(data: GroundTruthInput) -> Tensor | None:
    """Mean absolute difference between the counterfactual and the decoded true one."""
    if data.counterfactual is None or data.decoded_truth is None:
        return None
    return l1(data.counterfactual, data.decoded_truth)


@GROUP.metric(
    "true-change amplitude",
    better="-",
    lowest=-INFINITE,
    highest=INFINITE,
    formula="sum of (r - x')(x - x*) over sum of (x - x*)^2, channels averaged first; 1 is right",
    fooled_by="Change in the wrong place does not count: see true-change total.",
    source="this project",
    version="2",
    needs=NO_CHANGE,
)
def true_change_amplitude(data: GroundTruthInput) -> Tensor | None:
    """How much of the true change the counterfactual makes: its projection on the true change."""
    if (changes := data.changes) is None:
        return None
    change, true = changes
    return ratio((change * true).sum(1), true.square().sum(1))


@GROUP.metric(
    "true-change total",
    better="-",
    highest=INFINITE,
    formula="sum of |r - x'| over sum of |x - x*|, channels averaged first; 1 is right",
    fooled_by="Change in the wrong place counts too. Faint findings divide by little.",
    source="this project",
    needs=NO_CHANGE,
)
def true_change_total(data: GroundTruthInput) -> Tensor | None:
    """Size of the counterfactual's change anywhere, divided by the size of the true change."""
    if (changes := data.changes) is None:
        return None
    change, true = changes
    return ratio(change.abs().sum(1), true.abs().sum(1))


def ratio(part: Tensor, total: Tensor) -> Tensor:
    """Divide (N,) by (N,), NaN where the total is 0."""
    import torch

    return torch.where(total > 0, part / total, torch.nan)
