"""The types of data that components exchange. Importing this module imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Texts = NDArray[np.str_]
Kind = Literal["dataset", "generator", "encoder", "head", "explainer", "metric"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ImageSpec:
    """Shape of every image of a data set: `channels` x `size` x `size`."""

    channels: int
    size: int

    def __str__(self) -> str:
        return f"{self.channels} x {self.size} x {self.size}"


@dataclass(frozen=True)
class Scale:
    """Maps regression targets from their unit to the numbers that a head predicts, and back.

    The papers scale BNP by `Scale(log=True, divisor=10)`: the natural logarithm, divided by 10.
    """

    log: bool = False
    divisor: float = 1.0

    def apply(self, value: Floats) -> Floats:
        """Unit -> scaled, any shape. Values must be positive where `log` is set."""
        raw = np.log(value) if self.log else value
        return (raw / self.divisor).astype(np.float32)

    def apply_one(self, value: float) -> float:
        """Unit -> scaled, for one number."""
        return (math.log(value) if self.log else value) / self.divisor

    def invert(self, scaled: Floats) -> Floats:
        """Scaled -> unit, any shape."""
        raw = scaled * self.divisor
        return (np.exp(raw) if self.log else raw).astype(np.float32)


@dataclass(frozen=True)
class Task:
    """What is predicted from an image.

    - `regression`: one value per output in `unit`; a case is positive at or above `threshold`,
      which is required.
    - `binary`, `multilabel`: 0 or 1 per output.
    - `multiclass`: one class index; a rationale goes from the class `source` to the class `target`.
    """

    kind: Literal["binary", "multilabel", "multiclass", "regression"]
    outputs: tuple[str, ...]
    unit: str = ""
    threshold: float | None = None
    scale: Scale = field(default_factory=Scale)
    source: int | None = None
    target: int | None = None

    @property
    def columns(self) -> int:
        """Number of target columns of a split: 1 for multiclass, else one per output."""
        return 1 if self.kind == "multiclass" else len(self.outputs)

    def activate(self, outputs: Tensor) -> Tensor:
        """Head outputs (N, K) -> probabilities (N, K), or the scaled values for regression."""
        if self.kind == "regression":
            return outputs
        return outputs.softmax(1) if self.kind == "multiclass" else outputs.sigmoid()

    def positives(self, targets: Floats) -> Bools:
        """Whether each image is positive for each output.

        `targets` (N, columns) in the task's unit -> (N, outputs) bool. NaN (no label) is not
        positive.
        """
        with np.errstate(invalid="ignore"):
            if self.kind == "multiclass":
                return np.asarray(targets == np.arange(len(self.outputs), dtype=np.float32))
            limit = 0.5 if self.threshold is None else self.threshold
            return np.asarray(targets >= limit)


MAX_STRUCTURES = 32  # that can be rendered away of one image: bounds memory and files


@dataclass(frozen=True)
class Structures:
    """What can be rendered away of n images, one at a time: K structures, at most 32.

    - `names`: one per structure, the same for all images.
    - `present` (n, K) bool: what is visible in which image; the rest is left out of all scores.
    - `cause` (n, K) bool: structures that the output to explain stands for; `distractor` (n, K)
      bool: those that correlate with the label without causing it. Others are neither.
    - `mask` (n, K, H, W) bool: where the image changes without the structure.
    - `removed` (n, K, C, H, W) uint8: the image without this structure alone; any where absent.
    """

    names: tuple[str, ...]
    present: Bools
    cause: Bools
    distractor: Bools
    mask: Bools
    removed: Bytes


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of (image, output) pairs beyond the label; None where it is not known.

    - `mask` (n, H, W) bool: the pixels of the output's structure; empty if not known for an image.
    - `counterfactual` (n, C, H, W) uint8: the same image without that structure.
    - `distractor` (n, H, W) bool: structures that correlate with the label without causing it.
    - `structures`: what can be rendered away one at a time, the disease's parts and distractors.
    """

    mask: Bools | None = None
    counterfactual: Bytes | None = None
    distractor: Bools | None = None
    structures: Structures | None = None


@dataclass(frozen=True)
class Split:
    """One part of a data set; its images are generated or read on demand.

    - `sample_ids`, `patient_ids`: (N,) str; a patient is in one split only.
    - `targets`: (N, columns) float32 in the task's unit; NaN where not labelled.
    - `images(index)`: positions (n,) -> (n, C, H, W) uint8; 0 is black (-1 for the models), 255 is
      white (+1).
    - `truth(index, output)`: positions (n,) and output indices (n,) -> `GroundTruth`.
    - `region(index)`: positions (n,) -> (n, H, W) bool, where a finding may lie, as in the lungs;
      empty where it is not known. It says nothing of where a finding is.
    """

    sample_ids: Texts
    patient_ids: Texts
    targets: Floats
    images: Callable[[Ints], Bytes]
    truth: Callable[[Ints, Ints], GroundTruth] | None = None
    region: Callable[[Ints], Bools] | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True)
class Latents:
    """Latents of one split with their labels, for training a head.

    `z` (N, D) float32; `targets` (N, columns) float32, scaled, without NaN.
    """

    z: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.z)


@dataclass(frozen=True)
class ExplanationTarget:
    """For each image of a batch: the output to explain, and the change to reach.

    - `source_class` (N,) int64: the output to lower (for multiclass the class to leave).
    - `target_class` (N,) int64: the class to reach; equal to `source_class` where the task has no
      classes.
    - `threshold` (N,) float32: the target is reached when the activated output is below it (unused
      for multiclass, where the largest output decides).
    - `reference_value` (N,) float32: the activated output to aim for by default: the median
      prediction of training images without the source class.
    """

    task: Task
    source_class: Tensor
    target_class: Tensor
    threshold: Tensor
    reference_value: Tensor

    def __len__(self) -> int:
        return len(self.source_class)

    def __getitem__(self, index: Tensor | slice) -> ExplanationTarget:
        return ExplanationTarget(
            self.task,
            self.source_class[index],
            self.target_class[index],
            self.threshold[index],
            self.reference_value[index],
        )

    def source_output(self, outputs: Tensor) -> Tensor:
        """Return the output of the source class: head outputs (N, K) -> (N,)."""
        return outputs.gather(1, self.source_class[:, None]).squeeze(1)

    def reached_target(self, outputs: Tensor) -> Tensor:
        """Whether the prediction has reached the target: head outputs (N, K) -> (N,) bool."""
        if self.task.kind == "multiclass":
            return outputs.argmax(1) == self.target_class
        return self.source_output(self.task.activate(outputs)) < self.threshold

    def predicts_source(self, outputs: Tensor) -> Tensor:
        """Whether the model predicts the source class, so that there is something to explain.

        Head outputs (N, K) -> (N,) bool.
        """
        if self.task.kind == "multiclass":
            return outputs.argmax(1) == self.source_class
        return ~self.reached_target(outputs)


@dataclass(frozen=True)
class Model:
    """The explained model, with the decoder that draws its counterfactuals.

    Calling it maps images (N, C, H, W) in [-1, 1] to outputs (N, K): logits, or the scaled value
    for regression. Networks are in eval mode and frozen; gradients reach the input.

    - `encoder` (N, C, H, W) -> (N, D), `generator` (N, D) -> (N, C, H, W), `head` (N, D) -> (N, K).
    - `classifier` (N, C, H, W) -> (N, K): a network of images that is explained as it is; None
      where the encoder and the head are explained. `head` is then that network of decoded images.
    - `has_decoder`: False where no explainer of the run needs encoder and generator. They raise
      `PluginError` when called.
    """

    encoder: nn.Module
    generator: nn.Module
    head: nn.Module
    classifier: nn.Module | None = None
    has_decoder: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (N, K) of images (N, C, H, W) as they are."""
        net = self.classifier
        outputs: Tensor = self.head(self.encoder(x)) if net is None else net(x)
        return outputs


@dataclass(frozen=True)
class Explanation:
    """What an explainer returns for a batch; None for what it does not compute.

    - `attribution` (N, H, W) float32, signed if the explainer has signs: positive means that the
      pixel speaks for the source class.
    - `counterfactual` (N, C, H, W) in [-1, 1], and `latent` (N, D) that decodes to it.
    - `residual`: the counterfactual is the image itself plus what the decoder adds on the way to
      `latent`, `clip(x + G(latent) - G(E(x)))`: changes are measured from the image, otherwise from
      its reconstruction.
    - `trajectory` (N, P, D): latents evenly spaced along the search; the first is the image's own,
      the last is `latent`. Shown in reports, not scored.
    - `steps` (N,) int64: optimisation steps; `success` (N,) bool: whether the target was reached;
      `reason`: one line per image, empty where successful.
    - `alternatives` (N, K, C, H, W): more counterfactuals of each image, for explainers that return
      several.
    - `note`: what a reader must know of how it was computed, e.g. the layer it looks into.
    """

    attribution: Tensor
    counterfactual: Tensor | None = None
    latent: Tensor | None = None
    trajectory: Tensor | None = None
    steps: Tensor | None = None
    success: Tensor | None = None
    reason: tuple[str, ...] | None = None
    note: str = ""
    residual: bool = False
    alternatives: Tensor | None = None


def compose(x: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Add to images `x` what the decoder changes from `before` to `after`, all (N, C, H, W).

    Residual composition `clip(x + G(z') - G(z))`: what the decoder cannot draw of an image stays as
    it is. It corresponds to the abduction of noise in structural causal models (Pawlowski et al.
    2020).
    """
    return (x + after - before).clamp(-1, 1)
