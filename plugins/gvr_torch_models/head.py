"""Your own image classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .image_normalization import ImageNormalization, ImageSettings
from .loading import make_network
from .settings import File, Several
from .wrapped_network import TorchModel, WrappedNetwork, shape_text, shuffled

EPSILON = 1e-6  # smallest distance of a probability from 0 and 1
TINY = 1e-30  # smallest probability of several that add up to 1


class Classifier(WrappedNetwork):
    """Images (N, C, H, W) in [-1, 1] -> the task's outputs (N, K)."""

    def __init__(self, net: nn.Module, settings: TorchHead.Settings, task: gvr.Task) -> None:
        super().__init__(net, settings)
        self.settings = settings
        self.task = task
        self.normalize = ImageNormalization(settings)

    def forward(self, x: Tensor) -> Tensor:
        """Predict. Raises `UsageError` if the outputs do not fit the task."""
        s = self.settings
        out = self.run(self.normalize(x))
        if out.dim() < 2:  # of `squeeze`, which takes away the images too where there is one
            out = out.reshape(len(x), -1)
        if out.dim() != 2 or any(k >= out.shape[1] for k in s.outputs):
            selected = f", without the outputs {'+'.join(map(str, s.outputs))}"
            raise gvr.UsageError(
                f"head 'torch-model' returns {shape_text(out.shape)} for {len(x)} images"
                f"{selected if s.outputs else '; a classifier returns images x outputs'}"
            )
        out = out[:, list(s.outputs)] if s.outputs else out
        return self.scaled(self.as_task(out.float()))

    def as_task(self, out: Tensor) -> Tensor:
        """Convert to one logit or value per output of the task."""
        task, actual, expected = self.task, out.shape[1], len(self.task.outputs)
        two = task.kind == "binary" and expected == 1 and actual == 2
        single = task.kind == "multiclass" and expected == 2 and actual == 1
        if actual != expected and not two and not single:
            raise gvr.UsageError(
                f"head 'torch-model' has {actual} outputs and the task has {expected} "
                f"({', '.join(task.outputs)}); select them in this order, e.g. outputs="
                f"{'+'.join(map(str, range(expected)))}"
            )
        if self.settings.probabilities:
            exclusive = two or (task.kind == "multiclass" and not single)
            # A softmax keeps small probabilities, and their slope is lost where they are clamped.
            out = (
                out.clamp_min(TINY).log() if exclusive else out.clamp(EPSILON, 1 - EPSILON).logit()
            )
        if single:
            return torch.cat([-out / 2, out / 2], 1)
        return (out[:, 1] - out[:, 0])[:, None] if two else out

    def scaled(self, out: Tensor) -> Tensor:
        """Apply `factor` and `offset`, and the task's scale to values in its unit."""
        s, scale = self.settings, self.task.scale
        out = s.factor * out + s.offset
        if not s.in_unit:
            return out
        return (out.clamp_min(EPSILON).log() if scale.log else out) / scale.divisor


class TorchHead(TorchModel, gvr.Head):
    """Your own image classifier, without further training.

    It is explained as it is, by its predictions of the images themselves. Attribution needs no
    generator; counterfactuals are drawn by one, and `decoded_agreement` says how many decisions the
    encoding and decoding alone leaves as they are. A binary task needs one logit, or two of which
    the second is that of the finding; two classes need two logits, or one, of the second class.
    Regression needs the scaled value, to which `factor` and `offset` can convert it, or the value
    in the task's unit with `in_unit`: for a network that predicts log10 of BNP, where the task has
    ln(BNP)/10, set factor=0.2302585.
    """

    version = "2"
    sees = "images"

    class Settings(ImageSettings):
        """The network, its images, and the conversion of its outputs."""

        outputs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Several] = Field(
            (), description="positions of the task's outputs, in its order, e.g. 0+3; default: all"
        )
        probabilities: bool = Field(
            False, description="whether its outputs are probabilities instead of logits"
        )
        untrained: bool = Field(
            False, description="whether the factory's random weights are meant to be explained"
        )
        trained_on: File | None = Field(
            None,
            description="folder of its training images, or a table of them as `datasets split` "
            "writes; compared with the test images",
        )
        threshold: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Several] = Field(
            (0.5,),
            description="probability from which an output counts as predicted: one for all outputs "
            "or one for each, e.g. 0.3+0.5; not for regression or classes",
        )
        factor: float = Field(1.0, description="multiplied with its outputs")
        offset: float = Field(0.0, description="added after that")
        in_unit: bool = Field(
            False, description="regression: whether its values are then in the task's unit"
        )

    files = TorchModel.files | {"trained_on"}
    settings: Settings

    def trained_on(self) -> Path | None:
        """Return the setting."""
        return self.settings.trained_on

    def threshold(self, task: gvr.Task) -> tuple[float, ...] | None:
        """Return the setting, one per output; None where another decides. Raises `UsageError`."""
        values, k = self.settings.threshold, len(task.outputs)
        if task.kind in ("regression", "multiclass"):
            if "threshold" in self.settings.model_fields_set:
                raise gvr.UsageError(
                    f"head 'torch-model': threshold is not for {task.kind}: leave it out"
                )
            return None
        if len(values) not in (1, k):
            raise gvr.UsageError(
                f"head 'torch-model': {len(values)} thresholds for {k} outputs; write one, or one "
                f"for each of {', '.join(task.outputs)}"
            )
        return values if len(values) == k else values * k

    def check_outputs(self, outputs: Tensor, task: gvr.Task) -> None:
        """Refuse random weights, and what looks like probabilities, where neither is said.

        Raises `UsageError`.
        """
        if not self.settings.untrained and self.is_random():
            raise gvr.UsageError(
                f"head 'torch-model': factory '{self.settings.factory}' returns other weights each "
                "time, so nothing was learned; give weights=FILE.safetensors, or untrained=true to "
                "explain random weights"
            )
        silent = "probabilities" not in self.settings.model_fields_set
        if task.kind != "regression" and silent and bool(((outputs >= 0) & (outputs <= 1)).all()):
            raise gvr.UsageError(
                "head 'torch-model': its outputs for noise all lie between 0 and 1, as those of a "
                "sigmoid or softmax do; say probabilities=true, or probabilities=false if they are "
                "logits"
            )

    def is_random(self) -> bool:
        """Whether the factory draws weights that no file replaces."""
        if not self.settings.factory or self.settings.weights:
            return False
        states = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            states.append(make_network(self.settings).state_dict())
        return any(not torch.equal(value, states[1][name]) for name, value in states[0].items())

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network with shuffled weights. Raises `UsageError`."""
        s = self.settings
        if s.in_unit and task.kind != "regression":
            raise gvr.UsageError(f"head 'torch-model': in_unit is for regression, not {task.kind}")
        if s.probabilities and task.kind == "regression":
            raise gvr.UsageError("head 'torch-model': probabilities are not for regression")
        return shuffled(Classifier(make_network(s), s, task))

    def fit(
        self,
        net: nn.Module,
        train: gvr.Images,
        validation: gvr.Images,
        task: gvr.Task,
        ctx: gvr.Context,
    ) -> None:
        """Restore the original weights."""
        self.restore(net, ctx)
