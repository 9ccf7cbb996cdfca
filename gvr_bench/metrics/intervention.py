"""Does the map show what the model reacts to? For data whose structures can be rendered away.

An image without one structure is as natural as the image itself, unlike one with black pixels, so
the change of the output is the truth about the model, whether or not it is about the disease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from gvr_bench.metrics.base import INFINITE, CaseInput, Group, Source
from gvr_bench.metrics.prediction import PredictionScore
from gvr_bench.metrics.statistics import ENDS, NO_SCORE, RESAMPLES, Score

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget

NO_STRUCTURES = "no structures can be rendered away"
RANKED = 3  # structures that a correlation of ranks needs
SILENT = 1e-5  # a change of the output that rounding may have made
EFFECT = "D_k = f(x) - f(x without structure k), f the log-odds of the source class or the value"
SOURCE = "Hesse et al. 2023 (FunnyBirds, single deletion); Hesse et al. 2024 (IDSDS)"


def evidence(target: ExplanationTarget, outputs: Tensor) -> Tensor:
    """How strongly the model predicts the source class: head outputs (N, K) -> (N,).

    The log-odds; the value of a regression. Probabilities saturate, so that no structure of a
    confident case would have an effect; logits of several classes share an arbitrary constant.
    """
    import torch

    source = target.source_output(outputs)
    if target.task.kind != "multiclass":
        return source
    others = outputs.scatter(1, target.source_class[:, None], -torch.inf)
    return source - others.logsumexp(1)


@dataclass(frozen=True)
class InterventionInput(CaseInput):
    """Signed maps (N, H, W), where the structures lie and what the output loses without each.

    `structure_mask` (N, ceil(K / 8), H, W) uint8 holds eight structures in a byte, the first one
    highest; `effect` (N, K) is NaN where a structure is absent.
    """

    attribution: Tensor
    structure_mask: Tensor | None
    effect: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read it."""
        return cls(
            attribution=source.read("explanations", "attribution"),
            structure_mask=source.read_optional("cases", "structure_mask"),
            effect=source.read_optional("structure_effects", "effect"),
        )

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The effect of each structure and the attribution's sum in it, both (N, K)."""
        import torch

        if self.effect is None or self.structure_mask is None:
            return None
        columns = []
        for k in range(self.effect.shape[1]):
            inside = self.structure_mask[:, k // 8] & (128 >> k % 8) > 0
            columns.append((self.attribution.double() * inside).sum((1, 2)))
        sums = torch.stack(columns, dim=1)
        return self.effect.double().cpu().numpy(), sums.cpu().numpy()


GROUP = Group(
    "intervention",
    "Intervention",
    "does the map show what the model reacts to when a structure is rendered away?",
    stages=("structure_effects",),
    case_input=InterventionInput,
    cost="one pass for each structure of an image, once for all explainers",
    criticism="One structure at a time says nothing of what two do together, and only images that "
    "can be rendered without one allow it (as FunnyBirds: Hesse et al. 2023, arXiv 2308.06248).",
)
GROUP.declare(
    "distractor_effect",
    "distractor effect",
    "effect that a structure which does not cause the label has on the model's output, as a "
    "multiple of that of a structure of the disease",
    better="down",
    highest=INFINITE,
    formula=f"mean |D_k| over visible distractors / mean |D_k| over visible parts of the disease; "
    f"{EFFECT}",
    fooled_by="A model that reacts to nothing: numerator and denominator are noise. Large devices "
    "beside faint disease. Read it beside the AUROC.",
    source="this project, after Hesse et al. 2024 (IDSDS)",
    needs=f"{NO_STRUCTURES}, or none is a distractor",
)


@GROUP.metric(
    "intervention agreement",
    lowest=-1,
    formula=f"Spearman's r over the visible structures k, at least {RANKED}, of D_k with the sum "
    f"of a in the mask of k; 0 where all sums are equal; {EFFECT}",
    fooled_by="Size: in a constant map the larger structure has the larger sum, and it often has "
    "the larger effect, too, so that even maps of edges agree: read it beside the controls. "
    "Attribution outside all structures is not seen. Structures that "
    "overlap share their attribution.",
    source=SOURCE,
    needs=NO_STRUCTURES,
)
def intervention_agreement(data: InterventionInput) -> Tensor | None:
    """Whether the attribution ranks the structures of an image as their effects on the model do."""
    import torch
    from scipy.stats import rankdata

    both = data.sums()
    if both is None:
        return None
    values = np.full(len(data.attribution), np.nan)
    for i, (effect, inside) in enumerate(zip(*both, strict=True)):
        present = ~np.isnan(effect)
        if present.sum() < RANKED or np.ptp(effect[present]) <= SILENT:
            continue
        ranks = np.stack([rankdata(effect[present]), rankdata(inside[present])])
        values[i] = np.corrcoef(ranks)[0, 1] if np.ptp(ranks[1]) else 0.0
    return torch.from_numpy(values)


@GROUP.metric(
    "intervention sign agreement",
    formula="share of the visible structures k where the sum of a in the mask of k has the sign of "
    f"D_k; a sum of 0 counts half, |D_k| <= {SILENT} not at all; {EFFECT}",
    fooled_by="Maps without negative values, where every structure speaks for the output.",
    source=SOURCE,
    needs=NO_STRUCTURES,
)
def intervention_sign_agreement(data: InterventionInput) -> Tensor | None:
    """Share of the structures that the attribution gives the sign of their effect on the model."""
    import torch

    both = data.sums()
    if both is None:
        return None
    effect, inside = both
    counted = np.abs(effect) > SILENT  # not where it is NaN
    right = (1 + np.sign(inside) * np.sign(effect)) / 2
    total = counted.sum(axis=1)
    sums = np.where(counted, right, 0.0).sum(axis=1)
    return torch.from_numpy(np.where(total > 0, sums / np.maximum(total, 1), np.nan))


def effect_scores(
    effect: NDArray[np.floating], cause: NDArray[np.bool_], distractor: NDArray[np.bool_]
) -> list[PredictionScore]:
    """Score the model's reaction to distractors: effects (N, K), NaN where absent."""
    result = distractor_ratio(np.abs(effect), cause, distractor)
    reason = "" if result.n else GROUP.declarations[0].needs
    return [PredictionScore("distractor_effect", "all", result, reason)]


def distractor_ratio(
    size: NDArray[np.floating], cause: NDArray[np.bool_], distractor: NDArray[np.bool_]
) -> Score:
    """Mean size (N, K) of distractors over that of causes, with a bootstrap over images."""
    present = ~np.isnan(size)
    sums = np.stack([np.where(present & k, size, 0.0).sum(axis=1) for k in (distractor, cause)])
    counts = np.stack([(present & k).sum(axis=1) for k in (distractor, cause)])
    if not counts.sum(axis=1).all() or sums[1].sum() == 0:
        return NO_SCORE
    n = size.shape[0]
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums @ weights.T) / (counts @ weights.T)
        low, high = np.nanquantile(means[0] / means[1], ENDS)
    total = sums.sum(axis=1) / counts.sum(axis=1)
    return Score(float(total[0] / total[1]), float(low), float(high), n)
