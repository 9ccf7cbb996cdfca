"""Tiny untrained models, images and explanation targets to check components with."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gvr_bench.core.reference import Reference
from gvr_bench.core.types import ExplanationTarget, ImageSpec, Model, Task, Texts
from gvr_bench.registry.global_rng import seeded

SIZE = 16  # pixels, the side of every image
LATENT = 4
BATCH, SAMPLES = 3, 48
TASKS = {
    "binary": Task("binary", ("mass",)),
    "multilabel": Task("multilabel", ("mass", "fluid")),
    "multiclass": Task("multiclass", ("a", "b", "c"), source=0, target=1),
    "regression": Task("regression", ("density",), "g/l", threshold=0.5),
}
CHANNELS = {"binary": 1, "multilabel": 3, "multiclass": 1, "regression": 3}
STEP = 0.02  # by which the prediction has to fall; small, so that searches end soon


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
        images: Tensor = self.layers(z)
        return images


class Pictures:
    """48 random images in memory as a trainer reads them: binary labels, two per patient."""

    task = TASKS["binary"]

    def __init__(self, image: ImageSpec) -> None:
        shape = (SAMPLES, image.channels, image.size, image.size)
        self.pixels = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
        self.targets = (torch.arange(SAMPLES)[:, None] % 2).float()
        self.patient_ids: Texts = np.asarray([f"p{i // 2}" for i in range(SAMPLES)])

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return images (n, C, H, W) in [-1, 1]."""
        return self.pixels[index]


@dataclass(frozen=True)
class Case:
    """A model, a batch of images, what is asked about them, and `others` of the same kind."""

    label: str
    model: Model
    x: Tensor
    others: Tensor
    target: ExplanationTarget

    def copied(self) -> Case:
        return copy.deepcopy(self)

    def unreachable(self) -> Case:
        far = torch.full_like(self.target.reference_value, -1e3)
        target = replace(self.target, threshold=far, reference_value=far)
        return replace(self, label=f"{self.label}, unreachable", target=target)


def cases() -> list[Case]:
    """Return a case per kind of task, with one and with three channels, and one on a GPU."""
    cpu = torch.device("cpu")
    on_cpu = [make_case(TASKS[kind], channels, cpu) for kind, channels in CHANNELS.items()]
    if torch.cuda.is_available():
        return [*on_cpu, make_case(TASKS["binary"], 3, torch.device("cuda"))]
    return on_cpu


def make_case(task: Task, channels: int, device: torch.device) -> Case:
    with seeded(7):
        model = make_model(channels, task)
        x, others = torch.rand(2, BATCH, channels, SIZE, SIZE) * 2 - 1
    target = make_target(model, x, task)
    columns = (target.source_class, target.target_class, target.threshold, target.reference_value)
    encoder, generator, head = (
        net.to(device) for net in (model.encoder, model.generator, model.head)
    )
    where = "" if device.type == "cpu" else f" on {device}"
    return Case(
        f"{task.kind}, {ImageSpec(channels, SIZE)}{where}",
        Model(encoder, generator, head),
        x.to(device),
        others.to(device),
        ExplanationTarget(task, *(column.to(device) for column in columns)),
    )


def make_model(channels: int, task: Task) -> Model:
    """Return a model with random weights that slightly prefers the first of several classes."""
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
    nets = encoder, Decoder(channels), head
    for net in nets:
        net.eval().requires_grad_(False)
    return Model(*nets)


def make_reference(case: Case, batch_size: int = 128) -> Reference:
    """Return 48 random training images for a case; the labels of each output take turns."""
    task, device = case.target.task, case.x.device
    pixels = Pictures(ImageSpec(case.x.shape[1], SIZE)).pixels.to(device)
    rows = np.arange(SAMPLES)[:, None]
    if task.kind == "multiclass":
        targets = rows % len(task.outputs)
    else:
        targets = (rows + np.arange(task.columns)) % 2
    labels = targets.astype(np.float32)
    return Reference(case.model, task, labels, lambda index: pixels[index.to(device)], batch_size)


@torch.no_grad()
def make_target(model: Model, x: Tensor, task: Task) -> ExplanationTarget:
    """Return a target slightly below each image's current prediction."""
    n = len(x)
    source = torch.arange(n) % len(task.outputs)
    if task.kind == "multiclass":
        source = torch.zeros(n, dtype=torch.int64)
    target = source + (task.kind == "multiclass")
    unset = torch.zeros(n)
    current = ExplanationTarget(task, source, target, unset, unset).source_output(
        task.activate(model(x))
    )
    return ExplanationTarget(task, source, target, current - STEP, current - 1.5 * STEP)
