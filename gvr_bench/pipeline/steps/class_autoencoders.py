"""Autoencoders that were each trained on one side of the task, to measure realism.

An image looks like the target side if the autoencoder of that side restores it better. Source: Van
Looveren and Klaise 2019 (IM1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvr_bench.cache.serialization import read_json, write_json
from gvr_bench.core.components import Dataset
from gvr_bench.core.context import Stateful
from gvr_bench.core.types import Floats, ImageSpec, Ints, Task
from gvr_bench.pipeline.stage_context import StageContext, Step, batched, load_network
from gvr_bench.pipeline.steps.train_networks import save_network, seeded

MIN_IMAGES = 20  # of a side, to train on
WIDTH = 16  # channels of the largest maps
MAX_WIDTH = 64
BOTTLENECK = 16
BATCH = 64
OPTIMIZER_STEPS = 300
EPOCHS = 60  # at most
LEARNING_RATE = 3e-3


class Side(NamedTuple):
    """Images that show what an output stands for, or those that do not."""

    output: int
    present: bool

    def __str__(self) -> str:
        return f"{'with' if self.present else 'without'} {self.output}"


def sides(task: Task, source: int, target: int) -> tuple[Side, Side]:
    if task.kind == "multiclass":
        return Side(target, True), Side(source, True)
    return Side(source, False), Side(source, True)


class Autoencoder(nn.Module):
    """Image (N, C, H, W) -> the same shape, through a few numbers."""

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        halvings = max(1, math.floor(math.log2(image.size / 4)))
        widths = [min(MAX_WIDTH, WIDTH * 2**i) for i in range(halvings)]
        self.edges = [math.ceil(image.size / 2**i) for i in range(halvings + 1)]
        self.down = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, 2, 1)
            for narrow, wide in zip([image.channels, *widths], widths, strict=False)
        )
        innermost = widths[-1], self.edges[-1], self.edges[-1]
        self.bottleneck = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(innermost), BOTTLENECK),
            nn.Linear(BOTTLENECK, math.prod(innermost)),
            nn.Unflatten(1, innermost),
        )
        self.up = nn.ModuleList(
            nn.Conv2d(wide, narrow, 3, 1, 1)
            for wide, narrow in zip(widths[::-1], [*widths[-2::-1], image.channels], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.down:
            x = F.relu(layer(x))
        maps: Tensor = self.bottleneck(x)
        for layer, edge in zip(self.up, self.edges[-2::-1], strict=True):
            maps = layer(F.interpolate(F.relu(maps), (edge, edge)))
        return maps


def squared_error(autoencoder: nn.Module, x: Tensor) -> Tensor:
    """Squared distance of images (N, C, H, W) from their reconstruction: (N,)."""
    error: Tensor = (x - autoencoder(x).float()).square().flatten(1).sum(1)
    return error


def compute_class_autoencoders(stage_ctx: StageContext) -> None:
    """Train one autoencoder on the training images of each side that cases can have."""
    task = cast(Dataset, stage_ctx.stage.component).task
    targets = stage_ctx.arrays("data", "train/targets")["train/targets"]
    rows = {str(side): rows_of(side, targets, task) for side in possible_sides(task)}
    enough = {name: index for name, index in rows.items() if len(index) >= MIN_IMAGES}
    class_autoencoders = seeded(lambda: build(stage_ctx, enough), stage_ctx.ctx)
    if enough:
        train_autoencoders(class_autoencoders, enough, stage_ctx)
    save_network(stage_ctx, class_autoencoders)
    write_json(stage_ctx.out("sides.json"), list(enough))


def possible_sides(task: Task) -> list[Side]:
    """Return the sides of all cases there can be, whichever are chosen."""
    sources = range(len(task.outputs)) if task.source is None else [task.source]
    targets = sources if task.target is None else [task.target] * len(sources)
    pairs = zip(sources, targets, strict=True)
    return sorted({side for pair in pairs for side in sides(task, *pair)})


def rows_of(side: Side, targets: Floats, task: Task) -> Tensor:
    """Return which images of `targets` (N, columns) are on a side, of those with all labels."""
    positive, labelled = task.positives(targets)[:, side.output], ~np.isnan(targets).any(axis=1)
    return torch.from_numpy(np.flatnonzero(labelled & (positive == side.present)))


def build(stage_ctx: StageContext, names: Iterable[str]) -> nn.ModuleDict:
    return nn.ModuleDict({name: Autoencoder(stage_ctx.dataset().image) for name in names})


def train_autoencoders(
    class_autoencoders: nn.Module, rows: Mapping[str, Tensor], stage_ctx: StageContext
) -> None:
    """Minimise the squared error of each on its own images, of few images for fewer steps."""
    ctx, images = stage_ctx.ctx, stage_ctx.images("train")
    batch = stage_ctx.stage.settings.get("batch", BATCH)
    class_autoencoders.to(memory_format=torch.channels_last)
    trainings = {
        name: Training(class_autoencoders.get_submodule(name), len(index))
        for name, index in rows.items()
    }
    total = max(training.steps for training in trainings.values())
    state: dict[str, Stateful] = {"class_autoencoders": class_autoencoders}
    state |= {f"optimiser {name}": training.adam for name, training in trainings.items()}
    state |= {f"schedule {name}": training.schedule for name, training in trainings.items()}
    for step in ctx.loop(total, state):
        losses = []
        for name, training in trainings.items():
            if step >= training.steps:
                continue
            rng, index = ctx.rng(name, step), rows[name]
            x = images[index[torch.randint(len(index), (batch,), generator=rng)]]
            with ctx.autocast():
                loss = squared_error(training.net, x).mean() / x[0].numel()
            training.descend(loss)
            losses.append(loss.item())
        mse = sum(losses) / len(losses)
        if not math.isfinite(mse) or step % max(1, total // 20) == 0 or step + 1 == total:
            ctx.log(mse=mse)


class Training:
    """The training of a network in one cycle, whose length depends on how many images it has."""

    def __init__(self, net: nn.Module, images: int) -> None:
        self.net = net
        self.steps = min(OPTIMIZER_STEPS, EPOCHS * math.ceil(images / BATCH))
        self.adam = torch.optim.Adam(net.parameters(), fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.adam, LEARNING_RATE, self.steps)

    def descend(self, loss: Tensor) -> None:
        """Take one step down the slope of a loss ()."""
        self.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.schedule.step()


@torch.no_grad()
def reconstruction_errors(
    stage_ctx: StageContext, x: Tensor, source: Ints, target: Ints
) -> tuple[Tensor, Tensor]:
    """Return the squared errors of the target side's and of the source side's autoencoder.

    Images `x` (N, C, H, W) in [-1, 1] with their classes `source` and `target` (N,) -> two of (N,)
    on the device; NaN where a side has too few training images.
    """
    stage, task = stage_ctx.stage.input("class_autoencoders"), stage_ctx.dataset().task
    names = read_json(stage_ctx.file(stage, "sides.json"))
    class_autoencoders = load_network(stage_ctx, stage, build(stage_ctx, names))
    both = [sides(task, *pair) for pair in zip(source.tolist(), target.tolist(), strict=True)]
    errors = torch.full((2, len(x)), torch.nan, device=stage_ctx.ctx.device)
    for name in names:
        error = functools.partial(squared_error, class_autoencoders.get_submodule(name))
        for row, column in zip(errors, zip(*both, strict=True), strict=True):
            at = [i for i, side in enumerate(column) if str(side) == name]
            row[at] = batched(error, x[at], stage_ctx.ctx)
    return errors[0], errors[1]


STEPS = (Step("class_autoencoders", compute_class_autoencoders, inputs=("data",), trains=True),)
