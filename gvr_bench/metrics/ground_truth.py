"""Does the map show what is truly there? For data whose masks or counterfactuals are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, metric
from gvr_bench.metrics.decoding import RANGE, l1
from gvr_bench.metrics.earth_mover import PARCELS, transport_cost
from gvr_bench.metrics.pixel_overlap import expected_iou, hottest_pixels, shares, sizes, where_known
from gvr_bench.metrics.proximity import CHANGED

if TYPE_CHECKING:
    from torch import Tensor

NO_MASKS = "no masks are known"
NO_TWINS = "no true counterfactuals are known"
NO_CHANGE = f"{MAKES_NONE}, or {NO_TWINS}"


@metric(
    "truth",
    "pixel AP",
    formula="AP of |a| against m, over the pixels of an image",
    fooled_by="A large mask: chance is the mask's share of the image. The sign is not seen.",
    source="Arun et al. 2021 (AUPRC)",
    needs=NO_MASKS,
)
def pixel_ap(evidence: Evidence) -> Tensor | None:
    """Average precision of |attribution| against the finding's pixels."""
    import torch
    from sklearn.metrics import average_precision_score

    if evidence.mask is None:
        return None
    heats, masks = evidence.attribution.abs().cpu().numpy(), evidence.mask.cpu().numpy()
    values = torch.full((len(heats),), torch.nan, dtype=torch.float64)
    for i, (attribution, mask) in enumerate(zip(heats, masks, strict=True)):
        if mask.any() and not mask.all():
            values[i] = average_precision_score(mask.ravel(), attribution.ravel())
    return values


@metric(
    "truth",
    "pointing hit",
    formula="share of the pixels where |a| is largest that lie in m: 1 or 0 where there is one",
    fooled_by="One lucky pixel; a large mask, whose share of the image is chance.",
    source="Zhang et al. 2018; Saporta et al. 2022 (CheXlocalize hit rate)",
    needs=NO_MASKS,
)
def pointing_hit(evidence: Evidence) -> Tensor | None:
    """Whether the hottest pixel lies in the finding; ties count as their share."""
    if evidence.mask is None:
        return None
    attribution, mask = sizes(evidence.attribution), evidence.mask.flatten(1)
    hottest = attribution == attribution.amax(1, keepdim=True)
    return where_known((hottest & mask).sum(1) / hottest.sum(1), mask)


@metric(
    "truth",
    "IoU, matched area",
    formula="IoU of m with the |m| pixels where |a| is largest; the mean over ways to break ties",
    fooled_by="It is told how large the finding is. Without ties it orders maps as rank accuracy.",
    source="Cohen et al. 2021 (gifsplanation)",
    needs=NO_MASKS,
)
def iou_area_matched(evidence: Evidence) -> Tensor | None:
    """Overlap of the finding with as many of the hottest pixels as it has."""
    import torch

    if evidence.mask is None:
        return None
    mask = evidence.mask.flatten(1)
    counts = zip(*(t.tolist() for t in hottest_pixels(evidence.attribution, mask)), strict=True)
    values = [
        expected_iou(certain, tied, good, drawn, 2 * area) if area else np.nan
        for certain, tied, good, drawn, area in counts
    ]
    return where_known(torch.tensor(values, dtype=torch.float64), mask)


@metric(
    "truth",
    "IoU, Otsu",
    formula="IoU of m with the pixels where |a| > t, Otsu's threshold of |a|; a constant map has "
    "none and counts as uniform noise does, half of whose pixels are drawn at random",
    fooled_by="Smooth halos, which widen the area past the threshold of a map that peaks right.",
    source="Saporta et al. 2022 (CheXlocalize); scikit-image, threshold_otsu",
    needs=NO_MASKS,
)
def iou_otsu(evidence: Evidence) -> Tensor | None:
    """Overlap of the finding with the pixels that the map itself sets apart."""
    import torch
    from skimage.filters import threshold_otsu

    if evidence.mask is None:
        return None
    values = []
    for attribution, mask in zip(
        sizes(evidence.attribution), evidence.mask.flatten(1), strict=True
    ):
        span, area = attribution.max() - attribution.min(), int(mask.sum())
        if span > 0:
            spread = (
                ((attribution - attribution.min()) / span).cpu().numpy()
            )  # or a large offset hides the bins
            limit = threshold_otsu(spread)  # type: ignore[no-untyped-call]
            hot = torch.from_numpy(spread > limit).to(mask.device)
            values.append(float((hot & mask).sum() / (hot | mask).sum()))
        else:
            half = len(attribution) // 2
            values.append(expected_iou(0, len(attribution), area, half, half + area))
    return where_known(torch.tensor(values, dtype=torch.float64), evidence.mask.flatten(1))


@metric(
    "truth",
    "mass accuracy",
    formula="sum of |a| in m over sum of |a|; a map of zeros counts as a constant one",
    fooled_by="Faint noise over a large background; a single pixel in m gets 1.",
    source="Arras et al. 2022 (CLEVR-XAI)",
    needs=NO_MASKS,
)
def mass_accuracy(evidence: Evidence) -> Tensor | None:
    """Share of |attribution| that lies in the finding."""
    if evidence.mask is None:
        return None
    mask = evidence.mask.flatten(1)
    return where_known((shares(evidence.attribution) * mask).sum(1), mask)


@metric(
    "truth",
    "rank accuracy",
    formula="share of m among the |m| pixels where |a| is largest; ties count as expected",
    fooled_by="It is told how large the finding is, and sees no difference beyond that rank.",
    source="Arras et al. 2022 (CLEVR-XAI)",
    needs=NO_MASKS,
)
def rank_accuracy(evidence: Evidence) -> Tensor | None:
    """Share of the hottest pixels, as many as the finding has, that lie in it."""
    if evidence.mask is None:
        return None
    mask = evidence.mask.flatten(1)
    certain, tied, good, drawn, area = hottest_pixels(evidence.attribution, mask)
    return where_known((certain + drawn * good / tied) / area, mask)


@metric(
    "truth",
    "earth mover's score",
    formula="1 - W1(|a|, m) / D, both scaled to mass 1, D the image's diagonal; W1 by optimal "
    f"matching of {PARCELS} equal parcels of the mass they do not share; zeros count as a constant "
    "map",
    fooled_by="A constant map, which often gets 0.6 or more: read it beside the controls.",
    source="Clark et al. 2024 (XAI-TRIS)",
    needs=NO_MASKS,
)
def emd_score(evidence: Evidence) -> Tensor | None:
    """How little |attribution| would have to travel to lie in the finding; 1 where it does."""
    import torch

    if evidence.mask is None:
        return None
    n, h, w = evidence.attribution.shape
    heats = shares(evidence.attribution).reshape(n, h, w).cpu().numpy()
    masks = evidence.mask.double().cpu().numpy()
    values = torch.full((n,), torch.nan, dtype=torch.float64)
    for i, (attribution, mask) in enumerate(zip(heats, masks, strict=True)):
        if mask.any() and not mask.all():
            values[i] = 1 - transport_cost(attribution, mask) / np.hypot(h - 1, w - 1)
    return values.clamp(0, 1)  # rounding


@metric(
    "truth",
    "distractor mass",
    better="down",
    formula="sum of |a| in d outside m over sum of |a|; a map of zeros counts as a constant one",
    fooled_by="Heat anywhere else: a map beside both the finding and the distractor gets 0.",
    source="this project",
    needs="no distractors are known",
)
def distractor_mass(evidence: Evidence) -> Tensor | None:
    """Share of |attribution| on structures that go with the label but do not cause it."""
    if evidence.distractor is None:
        return None
    distractor = evidence.distractor.flatten(1)
    if evidence.mask is not None:
        distractor = distractor & ~evidence.mask.flatten(1)
    return where_known((shares(evidence.attribution) * distractor).sum(1), distractor)


@metric(
    "truth",
    "true-change correlation",
    lowest=-1,
    formula="Pearson's r of a with x - x*, over the pixels of an image; 0 for a constant map",
    fooled_by="Amplitude: a faint map of the right shape scores as well as one of the right size.",
    source="this project",
    needs=NO_TWINS,
)
def true_change_correlation(evidence: Evidence) -> Tensor | None:
    """Correlation of the signed attribution with what the finding truly changed."""
    import torch

    if evidence.true_change is None:
        return None
    attribution, change = (
        t.flatten(1).double() for t in (evidence.attribution, evidence.true_change)
    )
    attribution = attribution - attribution.mean(1, keepdim=True)
    change = change - change.mean(1, keepdim=True)
    norms = attribution.norm(dim=1) * change.norm(dim=1)
    values = torch.where(norms > 0, (attribution * change).sum(1) / norms, 0.0).clamp(-1, 1)
    return torch.where(change.norm(dim=1) > 0, values, torch.nan)


@metric(
    "truth",
    "sign accuracy",
    formula="share of the truly changed pixels where a has the sign of x - x*; a = 0 and constant "
    f"maps count half; changed is |x - x*| > {CHANGED}, or half its maximum where that is less",
    fooled_by="Maps without a sign, where the finding adds density only; attribution off the finding.",
    source="this project",
    needs=NO_TWINS,
)
def sign_accuracy(evidence: Evidence) -> Tensor | None:
    """Share of the truly changed pixels where the map says whether density came or went."""
    import torch

    if evidence.true_change is None:
        return None
    attribution, change = (
        t.flatten(1).double() for t in (evidence.attribution, evidence.true_change)
    )
    limit = (change.abs().amax(1, keepdim=True) / 2).clamp(max=CHANGED)
    changed = change.abs() > limit
    right = (1 + attribution.sign() * change.sign()) / 2
    right[attribution.amax(1) == attribution.amin(1)] = 0.5
    values = (right * changed).sum(1) / changed.sum(1)
    return torch.where(changed.any(1), values, torch.nan)


@metric(
    "truth",
    "true-change MAE",
    better="down",
    highest=RANGE,
    formula="mean |x' - G(E(x*))| over pixels and channels, on the [-1, 1] scale",
    fooled_by="Small findings: changing nothing costs no more than the finding's own mean change.",
    source="this project",
    needs=NO_CHANGE,
)
def true_change_mae(evidence: Evidence) -> Tensor | None:
    """Mean distance of the counterfactual from the true one as the decoder shows it."""
    if evidence.counterfactual is None or evidence.decoded_counterfactual is None:
        return None
    return l1(evidence.counterfactual, evidence.decoded_counterfactual)


@metric(
    "truth",
    "true-change amplitude",
    better="-",
    highest=INFINITE,
    formula="sum of |r - x'| over sum of |x - x*|, channels averaged first; 1 is right",
    fooled_by="Change in the wrong place counts too. Faint findings divide by little.",
    source="this project",
    needs=NO_CHANGE,
)
def true_change_amplitude(evidence: Evidence) -> Tensor | None:
    """How much the counterfactual changes, in units of what the finding truly changed."""
    import torch

    if evidence.counterfactual is None or evidence.true_change is None:
        return None
    made = (evidence.reconstruction - evidence.counterfactual).double().mean(1)
    total, true = (t.double().abs().flatten(1).sum(1) for t in (made, evidence.true_change))
    return torch.where(true > 0, total / true, torch.nan)


TRUTH = (
    pixel_ap,
    pointing_hit,
    iou_area_matched,
    iou_otsu,
    mass_accuracy,
    rank_accuracy,
    emd_score,
    distractor_mass,
    true_change_correlation,
    sign_accuracy,
    true_change_mae,
    true_change_amplitude,
)
