"""Does the counterfactual convince a model that never saw a latent of the explained model?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from gvr_bench.metrics.base import (
    INFINITE,
    NO_COUNTERFACTUAL,
    CaseInput,
    Group,
    Input,
    Source,
)
from gvr_bench.metrics.frechet import fid
from gvr_bench.metrics.output_changes import nearest_is_own, others_changed
from gvr_bench.metrics.prediction import ONE_CLASS
from gvr_bench.metrics.statistics import Score

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget

SEES_NONE = f"{NO_COUNTERFACTUAL}, or the oracle sees none of the findings"
FEATURES, IMAGE_FEATURES = "features", "image_features"


@dataclass(frozen=True)
class OracleInput(CaseInput):
    """What the oracle predicts, (N,) bool each; None for explainers without counterfactuals.

    `sees_source` is whether it predicts the finding for the image; `reached_target` whether it is
    on the target side for the counterfactual, and `base_rate` for the picture it starts from.
    `others_changed` (N,) is the divergence of its other outputs, None without any.
    `extra` are its predictions for the report, and `features` of counterfactuals and images of
    the cases whose finding the explained model predicts.
    """

    sees_source: Tensor | None
    reached_target: Tensor | None
    base_rate: Tensor | None
    others_changed: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def build(cls, source: Source) -> Self:
        """Ask the oracle about image, its base and counterfactual."""
        counterfactual = source.read_optional("explanations", "counterfactual")
        if counterfactual is None:
            return cls(None, None, None)
        oracle, target = source.oracle, source.oracle_target
        before, after = oracle.outputs(source.image), oracle.outputs(counterfactual)
        extra = predictions(target, before) | predictions(target, after, "_after")
        explained = source.read("explanations", "predicts_source")
        if bool(explained.any()):
            extra[FEATURES] = oracle.features(counterfactual[explained])
            extra[IMAGE_FEATURES] = oracle.features(source.image[explained])
        return cls(
            target.predicts_source(before),
            target.reached_target(after),
            target.reached_target(oracle.outputs(source.base)),
            others_changed(target, before, after),
            extra,
        )

    def columns(self) -> Mapping[str, Tensor]:
        """Predictions of the oracle, and features."""
        return self.extra


@dataclass(frozen=True)
class FeaturesInput(Input):
    """The oracle's features of counterfactuals (N, F), and of real images (M, F)."""

    features: Tensor | None
    real_features: Tensor | None

    @classmethod
    def build(cls, source: Source) -> Self:
        """Describe real images, where there are counterfactuals to compare them with."""
        features = source.columns.get(FEATURES)
        return cls(features, None if features is None else source.real_features())


@dataclass(frozen=True)
class IdentityInput(Input):
    """The oracle's features of counterfactuals and of images (M, F), and patients (M,) int64.

    `index` (M,) are the positions of these M among all `cases`.
    """

    counterfactual: Tensor | None
    image: Tensor | None
    patients: Tensor
    index: Tensor
    cases: int

    @classmethod
    def build(cls, source: Source) -> Self:
        """Read what was written of the explained cases."""
        explained = source.read("explanations", "predicts_source")
        index = explained.nonzero()[:, 0]
        counterfactual, real = (source.columns.get(name) for name in (FEATURES, IMAGE_FEATURES))
        return cls(counterfactual, real, source.patients[index], index, len(explained))


GROUP = Group(
    "oracle",
    "Oracle",
    "does the counterfactual convince an independent model?",
    stages=("oracle",),
    case_input=OracleInput,
    comparison_input=IdentityInput,
    overall_input=FeaturesInput,
    all_cases=True,  # the report shows what the oracle predicts for each
    cost="the training of one network for each data set, and one pass of each counterfactual",
    criticism="Less open to adversarial changes than validity, but no proof against them "
    "(Hvilshoj et al. 2021, arXiv 2111.00177).",
)

GROUP.declare(
    "oracle_auroc",
    "AUROC of the oracle",
    "area under the receiver operating curve of the oracle itself; 0.5 is chance",
    formula="as the model's AUROC, with o(x) in place of f(x)",
    fooled_by="An oracle no better than chance says nothing about any counterfactual.",
    source="scikit-learn, roc_auc_score",
    needs=ONE_CLASS,
)
GROUP.declare(
    "oracle_accuracy",
    "accuracy of the oracle",
    "share of the oracle's own predictions that are right",
    formula="as the model's accuracy, with o(x) in place of f(x) and the oracle's own thresholds",
    fooled_by="Rare findings: predicting none is right most of the time.",
    source="scikit-learn, accuracy_score",
)
GROUP.declare(
    "oracle_mae",
    "MAE of the oracle",
    "mean absolute error of the oracle's own prediction",
    better="down",
    highest=INFINITE,
    formula="mean of |o(x) - y|, in the unit of the task",
    fooled_by="Skewed targets: a few large values dominate it.",
    source="scikit-learn, mean_absolute_error",
    unit="task",
)


def predictions(target: ExplanationTarget, outputs: Tensor, suffix: str = "") -> dict[str, Tensor]:
    """Prediction of each case's source, and among classes of its target: (N,) each."""
    activated = target.task.activate(outputs)
    classes = {"oracle": target.source_class}
    if target.task.kind == "multiclass":
        classes["oracle_target"] = target.target_class
    return {
        name + suffix: activated.gather(1, index[:, None])[:, 0] for name, index in classes.items()
    }


def where_source_is_seen(data: OracleInput, flags: Tensor | None) -> Tensor | None:
    """Return flags (N,) as 1 and 0, NaN where the oracle does not predict the finding."""
    import torch

    if flags is None or data.sees_source is None:
        return None
    return torch.where(data.sees_source, flags.double(), torch.nan)


@GROUP.metric(
    "oracle validity",
    formula="share of cases with o(x') on the target side, o an independent model on pixels, among "
    "those whose finding o sees in x",
    fooled_by="A decoder that blurs the finding away by itself: read it beside its base rate.",
    source="Hvilshoj et al. 2021",
    needs=SEES_NONE,
)
def oracle_validity(data: OracleInput) -> Tensor | None:
    """Share of counterfactual images that an independent model puts on the target side.

    Cases whose finding it does not see in the image are left out: a finding that it overlooks
    would be a success without any change.
    """
    return where_source_is_seen(data, data.reached_target)


@GROUP.metric(
    "oracle base rate",
    better="-",
    formula="share of cases with o(r) on the target side, among those whose finding o sees in x",
    fooled_by="Nothing: it says what oracle validity is worth. It is the decoder's, not the "
    "explainer's.",
    source="this project",
    needs=SEES_NONE,
)
def oracle_base_rate(data: OracleInput) -> Tensor | None:
    """Share of reconstructions that the oracle puts on the target side before any change."""
    return where_source_is_seen(data, data.base_rate)


@GROUP.metric(
    "domain FID",
    better="down",
    highest=INFINITE,
    formula="Frechet distance of Gaussians fitted to penultimate oracle features of x' and of real "
    "images of the target side, of other patients; interval from resamples of both",
    fooled_by="Few cases or few real images raise it: compare explainers on the same cases only. "
    "A weak decoder raises it for all.",
    source="Heusel et al. 2017; Hvilshoj et al. 2021; Jeanneret et al. 2023 (sFID)",
    needs=f"{NO_COUNTERFACTUAL}, or fewer than two real images of the target side are known",
    over="overall",
)
def domain_fid(data: FeaturesInput) -> Score | None:
    """Distance between all counterfactuals and real images of the target side."""
    if data.features is None or data.real_features is None:
        return None
    return fid(data.features, data.real_features)


@GROUP.metric(
    "other outputs changed",
    better="down",
    formula="Jensen-Shannon divergence in bits of o(x) and o(x'): over the classes that are "
    "neither source nor target, scaled to sum to 1, or the mean over all findings but the source",
    fooled_by="Changing nothing gets 0: read it beside oracle validity. Findings that truly go "
    "together change together. An oracle that never predicts a finding sees no change of it.",
    source="Hvilshoj et al. 2021 (label variation score)",
    needs=f"{NO_COUNTERFACTUAL}, or the oracle has no other outputs",
)
def other_outputs_changed(data: OracleInput) -> Tensor | None:
    """How much the oracle's outputs that should stay differ between image and counterfactual."""
    return data.others_changed


@GROUP.metric(
    "identity retained",
    formula="share of cases whose x' lies nearest to an image of its own patient, among all "
    "explained images, by the Euclidean distance of penultimate oracle features; ties in part",
    fooled_by="Changing nothing gets 1: read it beside oracle validity. Few cases, among which "
    "nobody else is near. The oracle's features hold what its task needs and little else.",
    source="after Jeanneret et al. 2023 (ACE, face verification)",
    needs=f"{NO_COUNTERFACTUAL}, or fewer than two patients are explained",
    over="comparison",
)
def identity_retained(data: IdentityInput) -> Tensor | None:
    """Whether the counterfactual is still nearer to its own patient's image than to any other's.

    Features are those of the independent model.
    """
    import torch

    counterfactual, real = data.counterfactual, data.image
    if counterfactual is None or real is None or len(torch.unique(data.patients)) < 2:
        return None
    values = torch.full((data.cases,), torch.nan, dtype=torch.float64, device=real.device)
    values[data.index] = nearest_is_own(counterfactual, real, data.patients)
    return values
