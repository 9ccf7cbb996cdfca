"""Does the counterfactual flip the model? Where none was made the metrics do not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gvr_bench.metrics.base import INFINITE, MAKES_NONE, Evidence, metric
from gvr_bench.metrics.model_queries import ask

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget


@metric(
    "validity",
    "validity",
    formula="share of cases with h(z') on the target side; not found counts as a failure",
    fooled_by="Adversarial latents: h may flip where the decoded image hardly changes.",
    source="Wachter et al. 2017",
    needs=MAKES_NONE,
)
def validity(evidence: Evidence) -> Tensor | None:
    """Share of counterfactuals whose latent flips the head."""
    return evidence.reached_target


@metric(
    "validity",
    "re-encoded validity",
    formula="share of cases with h(E(x')) on the target side",
    fooled_by="Adversarial pixels, which flip the model itself: read it beside the oracle's.",
    source="this project",
    needs=MAKES_NONE,
)
def reencoded_validity(evidence: Evidence) -> Tensor | None:
    """Share of counterfactual images that still flip the model when they are encoded again."""
    return evidence.reencoded_reached_target


@metric(
    "validity",
    "confidence gain",
    lowest=-1,
    formula="f(x')_t - f(x)_t through pixels; f_t is the probability of the target class, or "
    "that the finding is absent where there are no classes",
    fooled_by="Adversarial pixels; a decoder that loses the finding; probabilities near 0 or 1.",
    source="this project",
    needs=f"{MAKES_NONE}, or the prediction is a value and no probability",
)
def confidence_gain(evidence: Evidence) -> Tensor | None:
    """How much more the model believes in the target at the counterfactual image."""
    model, target, made = evidence.model, evidence.target, evidence.counterfactual
    if model is None or target is None or made is None or evidence.task.kind == "regression":
        return None
    before, after = (belief(target, ask(model, x).double()) for x in (evidence.image, made))
    return after - before


def belief(target: ExplanationTarget, outputs: Tensor) -> Tensor:
    """Probability of the target side: head outputs (N, K) -> (N,)."""
    probabilities = target.task.activate(outputs)
    if target.task.kind == "multiclass":
        return probabilities.gather(1, target.target_class[:, None]).squeeze(1)
    return 1 - target.source_output(probabilities)


@metric(
    "validity",
    "became another class",
    better="down",
    formula="share of cases where h(z') predicts neither the source nor the target class",
    fooled_by="An explainer that does nothing: read it beside the `unchanged_rate`.",
    source="generative visual rationales (2018), section 3",
    needs=f"{MAKES_NONE}, or there are no classes",
)
def other_class_rate(evidence: Evidence) -> Tensor | None:
    """Share of counterfactuals predicted as a class that is neither source nor target."""
    if (
        evidence.task.kind != "multiclass"
        or evidence.reached_target is None
        or evidence.unchanged is None
    ):
        return None
    return ~evidence.reached_target & ~evidence.unchanged


@metric(
    "validity",
    "unchanged_rate",
    better="down",
    formula="share of cases where h(z') predicts what it did",
    fooled_by="Adversarial latents, as validity.",
    source="generative visual rationales (2018), section 3",
    needs=MAKES_NONE,
)
def unchanged_rate(evidence: Evidence) -> Tensor | None:
    """Share of counterfactuals still predicted as before."""
    return evidence.unchanged


@metric(
    "validity",
    "optimizer_steps",
    better="down",
    highest=INFINITE,
    formula="optimisation steps until the explainer stopped, at most its cap",
    fooled_by="Stopping early: few steps are worth nothing where the picture does not change.",
    source="generative visual rationales (2018)",
    needs="takes no steps",
)
def optimizer_steps(evidence: Evidence) -> Tensor | None:
    """Optimisation steps used per image."""
    return evidence.steps


VALIDITY = (
    validity,
    reencoded_validity,
    confidence_gain,
    other_class_rate,
    unchanged_rate,
    optimizer_steps,
)
