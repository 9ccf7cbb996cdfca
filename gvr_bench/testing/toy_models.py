"""Tiny untrained models with images and questions, on which a component shows its manners."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from gvr_bench.core.types import ExplanationTarget, ImageSpec, Model, Task
from gvr_bench.testing.rng import borrowed

SIZE = 16  # pixels, the side of every image
LATENT = 4
IMAGES = 3
TASKS = {
    "binary": Task("binary", ("mass",)),
    "multilabel": Task("multilabel", ("mass", "fluid")),
    "multiclass": Task("multiclass", ("a", "b", "c"), source=0, target=1),
    "regression": Task("regression", ("density",), "g/l", threshold=0.5),
}
STEP = 0.02  # how far the prediction is asked to move; soon done


class Decoder(nn.Module):
    """Latent (N, D) -> image (N, C, H, W) in [-1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.latent_dim = LATENT
        self.layers = nn.Sequential(
            nn.Linear(LATENT, 4 * (SIZE // 2) ** 2),
            nn.SELU(),
            nn.Unflatten(1, (4, SIZE // 2, SIZE // 2)),
            nn.ConvTranspose2d(4, channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Decode."""
        images: Tensor = self.layers(z)
        return images


@dataclass(frozen=True)
class Case:
    """A model, a batch of images, what is asked of them, and other images of the same kind."""

    label: str
    model: Model
    x: Tensor
    others: Tensor
    target: ExplanationTarget

    def copied(self) -> Case:
        """Return the same with networks and tensors of its own."""
        return copy.deepcopy(self)

    def out_of_reach(self) -> Case:
        """Return the same, asking for more than any image can give."""
        far = torch.full_like(self.target.reference_value, -1e3)
        label = f"{self.label}, out of reach"
        return replace(
            self, label=label, target=replace(self.target, threshold=far, reference_value=far)
        )


def cases() -> list[Case]:
    """Return a case per kind of task, with one and with three channels, and one on a GPU."""
    cpu = torch.device("cpu")
    made = [
        make_case("binary", 1, cpu),
        make_case("multilabel", 3, cpu),
        make_case("multiclass", 1, cpu),
        make_case("regression", 3, cpu),
    ]
    if torch.cuda.is_available():
        made.append(make_case("binary", 3, torch.device("cuda")))
    return made


def make_case(
    task: Literal["binary", "multilabel", "multiclass", "regression"],
    channels: int,
    device: torch.device,
) -> Case:
    """Make a case of one kind of task."""
    with borrowed():
        torch.manual_seed(7)
        model = make_model(channels, TASKS[task])
        x, others = torch.rand(2, IMAGES, channels, SIZE, SIZE) * 2 - 1
    target = make_query(model, x, TASKS[task])
    asked = (target.source_class, target.target_class, target.threshold, target.reference_value)
    nets = (model.encoder, model.generator, model.head)
    where = "" if device.type == "cpu" else f" on {device}"
    return Case(
        f"{task}, {ImageSpec(channels, SIZE)}{where}",
        Model(*(net.to(device) for net in nets)),
        x.to(device),
        others.to(device),
        ExplanationTarget(target.task, *(tensor.to(device) for tensor in asked)),
    )


def make_model(channels: int, task: Task) -> Model:
    """Return a model with random weights; where there are classes, it leans to the first."""
    encoder = nn.Sequential(
        nn.Conv2d(channels, 4, 4, 2, 1),
        nn.SELU(),
        nn.Conv2d(4, 8, 4, 2, 1),
        nn.SELU(),
        nn.Flatten(),
        nn.Linear(8 * (SIZE // 4) ** 2, LATENT),
    )
    head = nn.Linear(LATENT, len(task.outputs))
    if task.kind == "multiclass":
        with torch.no_grad():
            head.weight.mul_(0.1)
            head.bias.copy_(torch.tensor([STEP, 0.0, 0.0]) * 3)
    nets = (encoder, Decoder(channels), head)
    return Model(*(net.eval().requires_grad_(False) for net in nets))


@torch.no_grad()
def make_query(model: Model, x: Tensor, task: Task) -> ExplanationTarget:
    """Ask each image to move a little down from where the model sees it."""
    n = len(x)
    source = torch.arange(n) % len(task.outputs)
    if task.kind == "multiclass":
        source = torch.zeros(n, dtype=torch.int64)
    target = source + (task.kind == "multiclass")
    nothing = torch.zeros(n)
    seen = ExplanationTarget(task, source, target, nothing, nothing)
    now = seen.source_output(seen.task.activate(model(x)))
    return ExplanationTarget(task, source, target, now - STEP, now - 1.5 * STEP)
