"""What a metric is, how it is declared, and what the input of a group of metrics is built from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from gvr_bench.core.metric import Better
from gvr_bench.core.types import Task
from gvr_bench.metrics.statistics import Score

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.explainer import CompletenessBaseline
    from gvr_bench.core.types import ExplanationTarget, Model

INFINITE = float("inf")
NO_COUNTERFACTUAL = "makes no counterfactual"


class Oracle(Protocol):
    """The independent model."""

    def outputs(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> outputs (N, K), not activated."""

    def features(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> penultimate features (N, F)."""


class Source(Protocol):
    """What an input is built from: some of the cases (N) that one explainer explained.

    Stages go by the names in `Group.stages`, besides `explanations` and `cases`. Tensors lie on
    one device; images are float32 in [-1, 1].
    """

    @property
    def task(self) -> Task:
        """What is predicted."""

    @property
    def model(self) -> Model:
        """The explained model."""

    @property
    def target(self) -> ExplanationTarget:
        """What is explained of each case, by the model's own thresholds."""

    @property
    def image(self) -> Tensor:
        """The explained images (N, C, H, W)."""

    @property
    def base(self) -> Tensor:
        """The pictures (N, C, H, W) that counterfactuals change: the decoder's reconstructions, or
        the images themselves for residual composition and where there is no decoder.
        """

    @property
    def true_counterfactual(self) -> Tensor | None:
        """The ground truth (N, C, H, W), None where the data set has none."""

    @property
    def maps_show_change(self) -> bool:
        """Whether the explainer's maps have the sign of a change in brightness, see `Explainer`."""

    @property
    def completeness_baseline(self) -> CompletenessBaseline:
        """What the explainer's maps claim to explain the difference to, see `Explainer`."""

    @property
    def patients(self) -> Tensor:
        """A number for each patient (N,) int64, the same in all cases of a patient."""

    def explain(self, images: Tensor, index: Tensor) -> Tensor:
        """Explain images (M, C, H, W) in place of the cases at `index` (M,): maps (M, H, W)."""

    def part(self, rows: slice) -> Source:
        """Return the same for some of its cases; reading them takes memory for these alone."""

    def has(self, stage: str) -> bool:
        """Whether an optional stage is part of this run."""

    def read(self, stage: str, column: str) -> Tensor:
        """Read a column of a stage (N, ...). Raises `CacheError` where it is missing."""

    def read_optional(self, stage: str, column: str) -> Tensor | None:
        """Read a column that not every explainer or data set has.

        Raises `LookupError` for one that is not optional.
        """

    def decode(self, images: Tensor) -> Tensor:
        """Encode and decode images (N, C, H, W); without a decoder they stay as they are."""

    @property
    def latent_norm(self) -> float:
        """The median length of the latents of the training images."""

    @property
    def oracle(self) -> Oracle:
        """The independent model."""

    @property
    def oracle_target(self) -> ExplanationTarget:
        """What is explained of each case, by the oracle's own thresholds."""

    def real_features(self) -> Tensor:
        """The oracle's features (M, F) of test images of the target side, of other patients."""

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """The columns of the `CaseInput` of all cases, once all are built."""

    def class_errors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors (N,) of the autoencoders of the target side and of the source side.

        NaN where a side has too few training images for an autoencoder.
        """


class Input(ABC):
    """What the metrics of a group see; a frozen data class of tensors."""

    @classmethod
    @abstractmethod
    def build(cls, source: Source) -> Self:
        """Read it."""


class CaseInput(Input):
    """What the metrics of a group see of N cases."""

    def columns(self) -> Mapping[str, Tensor]:
        """Columns to write beside the values, a row per case; asked for after the metrics.

        `Source.columns` holds them in the end.
        """
        return {}


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
    meaning: str
    better: Better = "up"
    lowest: float = 0.0
    highest: float = 1.0
    formula: str = field(kw_only=True)
    fooled_by: str = field(kw_only=True)
    source: str = field(kw_only=True)
    needs: str = ""
    unit: str = ""
    version: str = "1"


Over = Literal["case", "comparison", "overall"]
Function = Callable[[Any], "Tensor | Score | None"]


@dataclass(frozen=True)
class Metric(Declaration):
    """A score of explanations.

    `function(input)` returns one value per case (N,), NaN where it does not apply to that case; or
    None where it does not apply to the explainer or data at all. `over` says what it sees:

    - `case`: the `case_input` of its group, of some of the cases; each value depends on its own
      case alone, so that cases can be scored in parts by several processes.
    - `comparison`: the `comparison_input` of its group, of all cases at once, which it compares
      with one another; it still returns one value per case.
    - `overall`: the `overall_input` of its group; it returns (M,) values over something else than
      cases, or a finished `Score`.

    One with a `reference` is a test: it is passed where its values are not above those of the
    metric of that name in the same group; see `not_above`.
    """

    over: Over = "case"
    reference: str = ""
    function: Function = field(kw_only=True)

    @property
    def of_cases(self) -> bool:
        """Whether it has one value per case."""
        return self.over != "overall"

    def __call__(self, group_input: Input) -> Tensor | Score | None:
        """Return what the function returns, values in float64."""
        values = self.function(group_input)
        return values if values is None or isinstance(values, Score) else values.double()


@dataclass(frozen=True)
class Group:
    """Metrics that are computed together, from one input.

    `text` is the question that they answer; `default` says whether a run computes them unless told
    otherwise. `cost` is what computing them takes, `criticism` what others have against them.
    `stages` are the stages that the input is built from besides explanations and cases.
    `all_cases` says whether the input of cases has those too whose finding the model does not
    predict; their values count for nothing.
    `declarations` are of numbers about the model itself, which stages of their own compute.
    """

    name: str
    title: str
    text: str
    default: bool = True
    stages: tuple[str, ...] = ()
    case_input: type[CaseInput] | None = None
    comparison_input: type[Input] | None = None
    overall_input: type[Input] | None = None
    all_cases: bool = False
    cost: str = ""
    criticism: str = ""
    declarations: list[Declaration] = field(default_factory=list, compare=False)
    metrics: list[Metric] = field(default_factory=list, compare=False)

    def declare(self, name: str, title: str, meaning: str, **declared: Any) -> None:
        """Declare a number about the model itself; see `Declaration`."""
        self.declarations.append(Declaration(name, self.name, title, meaning, **declared))

    def metric(self, title: str, **declared: Any) -> Callable[[Function], Metric]:
        """Declare a function as the metric of its name; its docstring is what the metric means.

        See `Declaration` and `Metric` for the rest.
        """

        def declare(function: Function) -> Metric:
            meaning = " ".join((function.__doc__ or "").split()).rstrip(".")
            meaning = meaning[:1].lower() + meaning[1:] if meaning[1:2].islower() else meaning
            metric = Metric(
                function.__name__, self.name, title, meaning, function=function, **declared
            )
            self.metrics.append(metric)
            return metric

        return declare


def versions(declared: Iterable[Declaration]) -> dict[str, str]:
    """Return the versions of metrics by name, as a key holds them."""
    return {metric.name: metric.version for metric in declared}
