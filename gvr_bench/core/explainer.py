"""The interface of explainers, which plugins supply.

Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from gvr_bench.core.components import Component
from gvr_bench.core.types import Explanation, ExplanationTarget, Model

if TYPE_CHECKING:
    from torch import Tensor

    from gvr_bench.core.context import Context


Role = Literal["attribution", "counterfactual", "control"]
CompletenessBaseline = float | Literal["counterfactual"] | None


class Explainer(Component, ABC):
    """Says why the model predicts what it predicts.

    `role` is `counterfactual` for one that also returns changed images, and `control` for one that
    wins scores without explaining anything: a score counts for the others only where they do better
    than every control. Controls may return counterfactuals, and are part of every run.
    `makes_counterfactuals` is for such a control.
    `uses_reference` says that it reads `ctx.reference`, the training images.
    `needs_decoder` says that it calls the model's encoder or generator; None, the default, that it
    does if it makes counterfactuals. A network of images has neither for explainers without it.
    `costly` is for one that takes hundreds of passes of an image: where cases are explained again
    with one change, it gets a smaller sample of them.
    """

    role: ClassVar[Role] = "attribution"
    makes_counterfactuals: ClassVar[bool] = False
    needs_decoder: ClassVar[bool | None] = None
    uses_reference: ClassVar[bool] = False
    costly: ClassVar[bool] = False

    @classmethod
    def returns_counterfactuals(cls) -> bool:
        """Whether it returns changed images, as its role says or a control declares."""
        return cls.role == "counterfactual" or cls.makes_counterfactuals

    @classmethod
    def uses_decoder(cls) -> bool:
        """Whether it calls the encoder or the generator."""
        return cls.returns_counterfactuals() if cls.needs_decoder is None else cls.needs_decoder

    @property
    def maps_show_change(self) -> bool:
        """Whether the sign of a map is that of a change in brightness, as of a rationale.

        By default it is if counterfactuals are returned. Other maps show evidence: positive where
        the image speaks for the output, be it brighter or darker there than without the finding. A
        class attribute of this name will do.
        """
        return self.returns_counterfactuals()

    @property
    def completeness_baseline(self) -> CompletenessBaseline:
        """What a map sums up to the difference to: output of the image minus that of the baseline.

        A level of grey in [-1, 1] for an image of that level, `counterfactual` for the one that is
        returned; None, the default, for maps that claim no such sum. Outputs are not activated. A
        class attribute of this name will do.
        """
        return None

    @abstractmethod
    def explain(
        self, model: Model, x: Tensor, target: ExplanationTarget, ctx: Context
    ) -> Explanation:
        """Explain a batch `x` (N, C, H, W) in [-1, 1].

        Raises `Unsupported` with a reason where it does not apply to this model or task.
        """
