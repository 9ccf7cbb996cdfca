"""What a metric is, what it sees, and how one value per image becomes a score with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import Task

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.types import ExplanationTarget, Model

Values = NDArray[np.float64]
RESAMPLES = 1000
AT_ONCE = 2**20  # numbers drawn at once, for memory
LEVEL = 0.95
ENDS = (1 - LEVEL) / 2, (1 + LEVEL) / 2  # quantiles at which an interval begins and ends
INFINITE = float("inf")
MAKES_NONE = "makes no counterfactual"


@dataclass(frozen=True)
class Evidence:
    """All that a metric may look at, for N cases; None where it is not known or not made.

    Tensors lie on one device; images are float32 in [-1, 1].

    - `attribution` (N, H, W) signed; `image`, `reconstruction`, `counterfactual` (N, C, H, W).
    - `seconds`, `evaluations` (N,): wall time and network passes per image; `memory` (N,): MiB.
    - `start`, `latent` (N, D): the image's latent and the counterfactual's; `norm`: the median
      length of a training latent.
    - `found` (N,) bool; `steps` (N,).
    - `flipped`, `reencoded_reached_target` (N,) bool: whether the head is on the target side at the
      latent that was found, and at the encoded counterfactual image; `stayed` (N,) bool: whether
      it still predicts at that latent what it did.
    - `oracle_sees`, `oracle_flipped` (N,) bool: whether the oracle sees the finding in the image,
      and is on the target side at the counterfactual image; `oracle_base_rate` (N,) bool: whether it
      is there at the reconstruction already.
    - `features` (N, F), `real_features` (M, F): what the oracle makes of the counterfactuals, and
      of real images of the target side. `target_error`, `source_error` (N,): squared error of
      autoencoders trained on one side only, at the counterfactual.
    - `mask`, `distractor` (N, H, W) bool; `true_change` (N, H, W): input minus true
      counterfactual; `decoded_twin` (N, C, H, W): the true counterfactual, encoded and decoded.
    - `again`: maps of the same cases explained again, by what was changed: (N, H, W), or
      (N, P, H, W) for `perturbed` inputs. `clean`, `contaminated` (N,): ground-truth scores of the
      same explainer for a clean and a contaminated head.
    - `agreement`: images used -> (M,), share of students that agree with the teacher on each of M
      unseen images, and `agreement_alone` that of students without explanations; `needed` (S,):
      images each student needs to agree on 90 %.
    - `model`, `query`: the explained model, and what was asked of each case.
    """

    task: Task
    attribution: Tensor
    image: Tensor
    reconstruction: Tensor
    seconds: Tensor
    evaluations: Tensor | None = None
    memory: Tensor | None = None
    counterfactual: Tensor | None = None
    start: Tensor | None = None
    latent: Tensor | None = None
    norm: float | None = None
    success: Tensor | None = None
    steps: Tensor | None = None
    reached_target: Tensor | None = None
    reencoded_reached_target: Tensor | None = None
    unchanged: Tensor | None = None
    oracle_sees: Tensor | None = None
    oracle_reached_target: Tensor | None = None
    oracle_base_rate: Tensor | None = None
    features: Tensor | None = None
    real_features: Tensor | None = None
    target_error: Tensor | None = None
    source_error: Tensor | None = None
    mask: Tensor | None = None
    distractor: Tensor | None = None
    true_change: Tensor | None = None
    decoded_counterfactual: Tensor | None = None
    again: Mapping[str, Tensor] = field(default_factory=dict)
    clean: Tensor | None = None
    contaminated: Tensor | None = None
    agreement: Mapping[int, Tensor] = field(default_factory=dict)
    agreement_alone: Mapping[int, Tensor] = field(default_factory=dict)
    needed: Tensor | None = None
    model: Model | None = None
    target: ExplanationTarget | None = None

    def __len__(self) -> int:
        return len(self.attribution)


@dataclass(frozen=True)
class Group:
    """Metrics that are computed together; `default` says whether a run does so unasked."""

    name: str
    title: str
    text: str
    default: bool = True


GROUPS = (
    Group("prediction", "Model", "how good the explained model is, on the test split"),
    Group("decoding", "Decoder", "how good its decoder is, on the test split"),
    Group("truth", "Ground truth", "does the map show what is truly there?"),
    Group("validity", "Validity", "does the counterfactual flip the model?"),
    Group("oracle", "Oracle", "does it convince an independent judge?"),
    Group("proximity", "Proximity", "how much does the counterfactual change?"),
    Group("realism", "Realism", "does the counterfactual look like a real image?"),
    Group("faithfulness", "Faithfulness", "does the map follow the model's own output?"),
    Group("robustness", "Robustness", "does a slightly other input change the answer?"),
    Group("sanity", "Sanity", "does the map change when the model does?"),
    Group("contamination", "Contamination", "does the map tell a spoilt model from a clean one?"),
    Group("repeatability", "Repeatability", "does another seed give the same map?", default=False),
    Group("simulatability", "Usefulness", "does a student learn more with it?", default=False),
    Group("cost", "Cost", "what does it take?"),
)


@dataclass(frozen=True)
class Declaration:
    """What is to be known of a number on the scoreboard.

    `better` is `up`, `down`, or `-` where neither is; values lie in [`lowest`, `highest`]. `unit`
    is empty for a bare number, and `task` for the unit of the prediction. `needs` says why there
    is no number where there is none. Bump `version` when the definition changes.
    """

    name: str
    group: str
    title: str
    better: Literal["up", "down", "-"]
    lowest: float
    highest: float
    meaning: str
    formula: str
    fooled_by: str
    source: str
    needs: str = ""
    unit: str = ""
    version: str = "1"


Function = Callable[[Evidence], "Tensor | Score | None"]


@dataclass(frozen=True)
class Metric(Declaration):
    """A score of explanations.

    `function(evidence)` returns one value per case (N,), NaN where it does not apply to that case;
    or None where it does not apply to the explainer or data at all. What is no mean over cases
    says so by `of_cases`: its function returns (M,) values over something else, or a whole `Score`.
    """

    of_cases: bool = True
    function: Function = field(kw_only=True)

    def __call__(self, evidence: Evidence) -> Tensor | Score | None:
        """Return what the function returns, values in float64."""
        found = self.function(evidence)
        return found if found is None or isinstance(found, Score) else found.double()


def metric(
    group: str,
    title: str,
    *,
    formula: str,
    fooled_by: str,
    source: str,
    better: Literal["up", "down", "-"] = "up",
    lowest: float = 0.0,
    highest: float = 1.0,
    **more: Any,
) -> Callable[[Function], Metric]:
    """Declare a function as the metric of its name; its docstring is what the metric means."""

    def declare(function: Function) -> Metric:
        meaning = " ".join((function.__doc__ or "").split()).rstrip(".")
        return Metric(
            function.__name__,
            group,
            title,
            better,
            lowest,
            highest,
            meaning[:1].lower() + meaning[1:] if meaning[1:2].islower() else meaning,
            formula,
            fooled_by,
            source,
            **more,
            function=function,
        )

    return declare


@dataclass(frozen=True)
class Score:
    """A mean over n images with its 95 % bootstrap interval; all None where n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


NO_SCORE = Score(None, None, None, 0)


def score(values: NDArray[Any]) -> Score:
    """Average one value per image, leaving out NaN, with a percentile bootstrap over images."""
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    if n == 0:
        return NO_SCORE
    rng, means = np.random.default_rng(0), np.empty(RESAMPLES)
    for part in resamples(n):
        draws = rng.integers(0, n, (part.stop - part.start, n))
        means[part] = kept[draws].mean(axis=1)
    low, high = np.quantile(means, ENDS)
    return Score(float(kept.mean()), float(low), float(high), n)


def resamples(n: int) -> Iterator[slice]:
    """Cut the resamples of n images into parts of `AT_ONCE` numbers, or of one resample."""
    count = max(1, AT_ONCE // n)
    for start in range(0, RESAMPLES, count):
        yield slice(start, min(start + count, RESAMPLES))
