"""The oracle: an independent model that learns the same labels from the same images' pixels.

Architecture, seed and training differ from those of every explained model, and it never sees a
latent, so what fools the explained model need not fool it.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvr_bench.cache.serialization import write_json
from gvr_bench.core.context import Context, Stateful, task_loss, translate
from gvr_bench.core.reference import even_positions
from gvr_bench.core.types import ExplanationTarget, Floats, ImageSpec, Ints, Task
from gvr_bench.data.stored_images import StoredImages
from gvr_bench.metrics import oracle
from gvr_bench.pipeline.decision_threshold import decide
from gvr_bench.pipeline.stage_context import (
    Decision,
    StageContext,
    Step,
    batched,
    freeze,
    labelled_images,
    load_network,
    read_decision,
    write_scores,
)
from gvr_bench.pipeline.steps.heads import score_outputs
from gvr_bench.pipeline.steps.train_networks import save_network, seeded

WIDTH = 16  # channels of the largest maps; the features are four times as many
LARGEST_MAP = 32  # pixels
BATCH = 128
OPTIMIZER_STEPS = 500
EPOCHS = 1, 40  # at least and at most, whatever the steps: few images are overfitted soon
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-2
SHIFT = 1 / 16  # largest translation, of the size
NOISE = 0.2  # largest standard deviation, of images in [-1, 1]
VALIDATIONS = 12  # times that the validation loss is computed
VALIDATION_IMAGES = 1000
THRESHOLD_IMAGES = 5000  # training images that the decision is computed on


class ResidualNet(nn.Module):
    """Image (N, C, H, W) -> outputs (N, K): a small residual network (He et al. 2016).

    Strides bring maps to about 32 pixels before the wide layers, so the cost stays bounded.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, image: ImageSpec, outputs: int, width: int = WIDTH) -> None:
        super().__init__()
        stride = min(4, max(1, 2 ** round(math.log2(image.size / LARGEST_MAP))))
        kernel = max(3, 2 * stride - 1)
        side = math.ceil(image.size / stride)
        self.maps = nn.Sequential(
            nn.Conv2d(image.channels, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        while side > 1.5 * LARGEST_MAP:
            self.maps.append(Halving(width, width))
            side = math.ceil(side / 2)
        for factor, wider in ((1, 2), (2, 4), (4, 4)):
            self.maps.append(Halving(factor * width, wider * width))
        self.last = nn.Linear(4 * width, outputs)
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("deviation", torch.ones(outputs))

    def features(self, x: Tensor) -> Tensor:
        """Describe images: (N, C, H, W) -> (N, F)."""
        maps: Tensor = self.maps(x.contiguous(memory_format=torch.channels_last))
        return maps.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.features(x))
        return outputs * self.deviation + self.mean


class Halving(nn.Module):
    """A residual block that halves the map, as `torchvision.models.resnet.BasicBlock`.

    Importing torchvision would take every worker as long as an explainer does.
    """

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        shortcut = nn.Conv2d(channels, wider, 1, 2, bias=False), nn.BatchNorm2d(wider)
        self.conv1 = nn.Conv2d(channels, wider, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.conv2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wider)
        self.downsample = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inner + self.downsample(x))


class Best(nn.Module):
    """A copy of the network that had the lowest loss so far."""

    loss: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        self.register_buffer("loss", torch.tensor(torch.inf))

    def offer(self, net: nn.Module, loss: Tensor) -> None:
        if loss < self.loss:
            self.net.load_state_dict(net.state_dict())
            self.loss.copy_(loss)


@dataclasses.dataclass(frozen=True)
class Examples:
    """The labelled images of a split, with `targets` (N, columns) in the task's unit."""

    images: StoredImages
    rows: Tensor
    targets: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and scaled targets (n, columns)."""
        rows = self.rows[index]
        return self.images[rows], self.images.targets[rows.to(self.images.targets.device)]

    def sample(self, count: int) -> Tensor:
        """Return at most `count` positions, evenly spaced: (n,) int64."""
        return torch.from_numpy(even_positions(len(self), count))


def read_examples(stage_ctx: StageContext, split: str) -> Examples:
    """Read the labelled images of a split. Raises `DataError` where nothing is labelled."""
    return Examples(*labelled_images(stage_ctx, split))


@dataclasses.dataclass(frozen=True)
class Oracle:
    """A trained oracle with a decision of its own."""

    net: ResidualNet
    task: Task
    decision: Decision
    ctx: Context

    def features(self, x: Tensor) -> Tensor:
        """Describe images (N, C, H, W) in [-1, 1] by the penultimate layer: (N, F)."""
        return batched(self.net.features, x, self.ctx)

    def outputs(self, x: Tensor) -> Tensor:
        """Predict from images (N, C, H, W) in [-1, 1]: (N, K) logits or scaled values."""
        return batched(self.net, x, self.ctx)

    def target(self, source: Ints, target: Ints) -> ExplanationTarget:
        """Return the targets of cases (N,), for the oracle's own outputs."""
        return self.decision.explanation_target(self.task, source, target, self.ctx.device)


def load_oracle(stage_ctx: StageContext) -> Oracle:
    stage, dataset = stage_ctx.stage.input("oracle"), stage_ctx.dataset()
    net = load_network(stage_ctx, stage, ResidualNet(dataset.image, len(dataset.task.outputs)))
    return Oracle(
        cast(ResidualNet, net), dataset.task, read_decision(stage_ctx, stage), stage_ctx.ctx
    )


def compute_oracle(stage_ctx: StageContext) -> None:
    """Train the oracle on labelled training images, decide, and score it on the test images."""
    dataset = stage_ctx.dataset()
    task = dataset.task
    train, validation = (read_examples(stage_ctx, split) for split in ("train", "validation"))
    net = seeded(lambda: ResidualNet(dataset.image, len(task.outputs)), stage_ctx.ctx)
    train_oracle(cast(ResidualNet, net), train, validation, stage_ctx)
    save_network(stage_ctx, freeze(net))
    index = train.sample(THRESHOLD_IMAGES)
    decision = decide(outputs_of(net, train, index, stage_ctx), train.targets[index.numpy()], task)
    write_json(stage_ctx.out("decision.json"), decision)
    score_oracle(stage_ctx, net, np.asarray(decision["threshold"], np.float32))


def train_oracle(
    net: ResidualNet, train: Examples, validation: Examples, stage_ctx: StageContext
) -> None:
    """Fit `net` by AdamW in one cycle, keeping the weights with the lowest validation loss."""
    ctx, task = stage_ctx.ctx, stage_ctx.dataset().task
    if task.kind == "regression":
        values = train.images.targets[train.rows.to(train.images.targets.device)]
        net.mean.copy_(values.mean(0))
        net.deviation.copy_(values.std(0, correction=0).clamp_min(1e-3))
    net.to(memory_format=torch.channels_last)
    epoch = math.ceil(len(train) / BATCH)
    steps = min(max(OPTIMIZER_STEPS, EPOCHS[0] * epoch), EPOCHS[1] * epoch)
    batch = max(2, min(BATCH, len(train)))  # one image has no batch statistics
    adam = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, LEARNING_RATE, steps)
    best = Best(net)
    state: dict[str, Stateful] = {
        "oracle": net,
        "optimiser": adam,
        "schedule": schedule,
        "best": best,
    }
    images, targets = validation.take(
        torch.from_numpy(even_positions(len(validation), VALIDATION_IMAGES))
    )
    for step in ctx.loop(steps, state, batch=batch, images=len(train)):
        rng = ctx.rng(step)
        x, y = train.take(torch.randint(len(train), (batch,), generator=rng))
        with ctx.autocast():
            outputs = net.train()(augment(x, rng))
        loss = task_loss(outputs.float(), y, task)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        if not math.isfinite(loss.item()):
            ctx.log(loss=loss.item())
        if (step + 1) % max(1, steps // VALIDATIONS) == 0 or step + 1 == steps:
            held_out = task_loss(batched(net.eval(), images, ctx), targets, task)
            ctx.log(loss=loss.item(), validation_loss=held_out.item())
            best.offer(net, held_out)
    net.load_state_dict(best.net.state_dict())


def augment(x: Tensor, rng: torch.Generator) -> Tensor:
    """Move images by a few pixels and add noise, so that the net relies on no single pixel."""
    n, _, _, w = x.shape
    strength = NOISE * torch.rand((n, 1, 1, 1), generator=rng)
    noise = strength * torch.randn(x.shape, generator=rng)
    return translate(x, round(SHIFT * w), rng) + noise.to(x.device)


@torch.no_grad()
def outputs_of(
    net: nn.Module, examples: Examples, index: Tensor, stage_ctx: StageContext
) -> Tensor:
    """Predict the examples at `index` (n,): (n, K) on the CPU."""
    parts = [index[part] for part in stage_ctx.ctx.batches(len(index))]
    return torch.cat([net(examples.take(part)[0]).float().cpu() for part in parts])


def score_oracle(stage_ctx: StageContext, net: nn.Module, threshold: Floats) -> None:
    test = read_examples(stage_ctx, "test")
    outputs = outputs_of(net, test, torch.arange(len(test)), stage_ctx)
    declared = {declaration.name for declaration in oracle.GROUP.declarations}
    rows = (
        dataclasses.replace(row, metric=f"oracle_{row.metric}")
        for row in score_outputs(stage_ctx, outputs, test.targets, threshold)
    )
    write_scores(stage_ctx, (row for row in rows if row.metric in declared))


STEPS = (Step("oracle", compute_oracle, inputs=("data",), trains=True),)
