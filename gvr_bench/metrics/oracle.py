"""Does the counterfactual convince a judge that never saw a latent of the explained model?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, Score, metric
from gvr_bench.metrics.decoding import fid

if TYPE_CHECKING:
    from torch import Tensor

SEES_NONE = f"{MAKES_NONE}, or the oracle sees none of the findings"


def where_seen(evidence: Evidence, flags: Tensor | None) -> Tensor | None:
    """Return flags (N,) as 1 and 0, NaN where the oracle does not see the finding."""
    import torch

    if flags is None or evidence.oracle_sees is None:
        return None
    return torch.where(evidence.oracle_sees, flags.double(), torch.nan)


@metric(
    "oracle",
    "oracle validity",
    formula="share of cases with o(x') on the target side, o an independent model on pixels, among "
    "those whose finding o sees in x",
    fooled_by="A decoder that blurs the finding away by itself: read it beside its base rate.",
    source="Hvilshoj et al. 2021",
    needs=SEES_NONE,
)
def oracle_validity(evidence: Evidence) -> Tensor | None:
    """Share of counterfactual images that an independent model puts on the target side.

    Where it did not see the finding in the image it has no say: a finding that it overlooks would
    be a success without any change.
    """
    return where_seen(evidence, evidence.oracle_reached_target)


@metric(
    "oracle",
    "oracle base rate",
    better="-",
    formula="share of cases with o(r) on the target side, among those whose finding o sees in x",
    fooled_by="Nothing: it says what oracle validity is worth. It is the decoder's, not the "
    "explainer's.",
    source="this project",
    needs=SEES_NONE,
)
def oracle_base_rate(evidence: Evidence) -> Tensor | None:
    """Share of reconstructions that the oracle puts on the target side before anything is done."""
    return where_seen(evidence, evidence.oracle_base_rate)


@metric(
    "oracle",
    "domain FID",
    better="down",
    highest=INFINITE,
    formula="Frechet distance of Gaussians fitted to penultimate oracle features of x' and of real "
    "images of the target side, of other patients; interval from resamples of both",
    fooled_by="Few cases or few real images raise it: compare explainers on the same cases only. "
    "A weak decoder raises it for all.",
    source="Heusel et al. 2017; Hvilshoj et al. 2021; Jeanneret et al. 2023 (sFID)",
    needs=f"{MAKES_NONE}, or fewer than two real images of the target side are known",
    of_cases=False,
)
def domain_fid(evidence: Evidence) -> Score | None:
    """How far counterfactuals are, as a crowd, from real images of the target side."""
    if evidence.features is None or evidence.real_features is None:
        return None
    return fid(evidence.features, evidence.real_features)


ORACLE = (oracle_validity, oracle_base_rate, domain_fid)
