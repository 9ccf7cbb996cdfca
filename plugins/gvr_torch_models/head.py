"""Any image classifier as the head that is explained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .image_normalization import Pictures, PictureSettings
from .loading import make_network
from .settings import Many
from .wrapped_network import Given, TorchModel, random_weights

NEAREST = 1e-6  # to 0 and 1 that a probability may come before it becomes a logit


class Classifier(Given):
    """Images (N, C, H, W) in [-1, 1] -> the task's outputs (N, K)."""

    def __init__(self, net: nn.Module, settings: TorchHead.Settings, task: gvr.Task) -> None:
        super().__init__(net, settings)
        self.settings = settings
        self.task = task
        self.pictures = Pictures(settings)

    def forward(self, x: Tensor) -> Tensor:
        """Predict. Raises `UsageError` where the outputs are not the task's."""
        s = self.settings
        out = self.run(self.pictures(x))
        out = out[:, None] if out.dim() == 1 else out
        if out.dim() != 2 or any(k >= out.shape[1] for k in s.outputs):
            wanted = f", of which outputs {'+'.join(map(str, s.outputs))} are asked for"
            raise gvr.UsageError(
                f"head 'torch-model' gives {' x '.join(map(str, out.shape))} for {len(x)} images"
                f"{wanted if s.outputs else '; a classifier gives images x outputs'}"
            )
        out = out[:, list(s.outputs)] if s.outputs else out
        return self.scaled(self.as_task(out))

    def as_task(self, out: Tensor) -> Tensor:
        """Turn outputs into one logit or value for each of the task's."""
        given = out.shape[1]
        wanted, task = len(self.task.outputs), self.task
        two = task.kind == "binary" and wanted == 1 and given == 2
        if given != wanted and not two:
            raise gvr.UsageError(
                f"head 'torch-model' gives {given} outputs, and the task has {wanted} "
                f"({', '.join(task.outputs)}); choose them in this order, e.g. outputs="
                f"{'+'.join(map(str, range(wanted)))}"
            )
        if self.settings.probabilities:
            p = out.clamp(NEAREST, 1 - NEAREST)
            out = p.log() if two or task.kind == "multiclass" else p.logit()
        return (out[:, 1] - out[:, 0])[:, None] if two else out

    def scaled(self, out: Tensor) -> Tensor:
        """Apply the linear map of the settings, and the task's scale to what is in its unit."""
        s, scale = self.settings, self.task.scale
        out = s.factor * out + s.offset
        if not s.in_unit:
            return out
        return (out.clamp_min(NEAREST).log() if scale.log else out) / scale.divisor


class TorchHead(TorchModel, gvr.Head):
    """An image classifier made elsewhere, explained as it is.

    The core puts it behind the generator: what is explained is its prediction of the decoded
    image, and `decoded_agreement` says how often that is its prediction of the image itself.
    A binary task takes one logit, or two of which the second speaks for the finding. Regression
    takes the scaled value, which `factor` and `offset` may make of it, or with `in_unit` the value
    in the task's unit: log10 of BNP, for which the task has ln(BNP)/10, needs factor=0.2302585.
    """

    sees = "images"

    class Settings(PictureSettings):
        """As every network of images, and how its outputs become the task's."""

        outputs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Many] = Field(
            (), description="which of its outputs, in the task's order, e.g. 0+3; default: all"
        )
        probabilities: bool = Field(
            False, description="its outputs are probabilities, and become logits"
        )
        factor: float = Field(1.0, description="of its outputs, before they are logits or values")
        offset: float = Field(0.0, description="added to them then")
        in_unit: bool = Field(
            False, description="regression: it then gives the value in the task's unit"
        )

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network with shuffled weights, adapted to the task. Raises `UsageError`."""
        s = self.settings
        if s.in_unit and task.kind != "regression":
            raise gvr.UsageError(f"head 'torch-model': in_unit is for regression, not {task.kind}")
        if s.probabilities and task.kind == "regression":
            raise gvr.UsageError("head 'torch-model': probabilities are not for regression")
        return random_weights(Classifier(make_network(s), s, task))

    def fit(
        self,
        net: nn.Module,
        train: gvr.Latents,
        validation: gvr.Latents,
        task: gvr.Task,
        ctx: gvr.Context,
    ) -> None:
        """Put the given weights in."""
        self.restore(net, ctx)
