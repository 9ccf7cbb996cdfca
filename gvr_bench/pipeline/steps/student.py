"""Students that learn the model's decisions, with explanations or without.

A student is trained on n training images with the model's decisions, and with or without a map of
each; then its decisions on test images are compared with the model's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import Unsupported
from gvr_bench.core.explainer import Explainer
from gvr_bench.core.types import Bools, ExplanationTarget, Floats, Ints
from gvr_bench.pipeline.stage_context import (
    StageContext,
    Step,
    load_model,
    read_targets,
    with_reference,
)
from gvr_bench.pipeline.steps.explanations import explain

SIZES = (10, 20, 40, 80, 160, 320)  # images a student learns from
MAX_TEST_IMAGES = 400
STUDENTS = 5  # per number of images
OPTIMIZER_STEPS = 200
BATCH = 16
LEARNING_RATE = 3e-3  # of Adam, falling to 0
MAP_WEIGHT = 1.0  # weight of the maps in the loss
TARGET_AGREEMENT = 0.9  # agreement that `needed` counts the images to
MAX_SIZE = 64  # larger images are averaged down to this before a student sees them
MAX_CELLS = 8  # positions that attention chooses from, at most, along each side


def compute_student_training_set(stage_ctx: StageContext) -> None:
    """Choose training images by the model's decision, and explain each.

    Without a component there are no maps, for students that get none.
    """
    side = decisions(stage_ctx, "train")
    position = balanced(side, SIZES[-1], generator(stage_ctx, "lessons"))  # the name of the stream
    require_enough(len(position), "training")
    arrays: dict[str, NDArray[Any]] = {"position": position, "label": side[position]}
    if stage_ctx.stage.component is not None:
        arrays["attribution"] = explain_images(stage_ctx, position)
    write_arrays(stage_ctx.out("student_training_set.h5"), arrays)


def compute_student(stage_ctx: StageContext) -> None:
    """Train students on each number of images, and test them on test images.

    `agreement` (S, K, M) bool: S students for each of K numbers of images `n` (K,), on M unseen
    images; `needed` (S,): images at which a student agrees on 90 %, NaN where it never does.
    """
    arrays = stage_ctx.arrays("student_training_set")
    device = stage_ctx.ctx.device
    images = stage_ctx.images("train")[torch.from_numpy(arrays["position"])]
    attribution = (
        torch.from_numpy(arrays["attribution"]).to(device) if "attribution" in arrays else None
    )
    examples = TrainingSet(images, torch.from_numpy(arrays["label"]).to(device), attribution)
    side = decisions(stage_ctx, "test")
    unseen = balanced(side, MAX_TEST_IMAGES, generator(stage_ctx, "unseen"))
    require_enough(len(unseen), "test")
    sizes = [n for n in SIZES if n <= len(examples)]
    students = train_students(
        examples, sizes, seed_from(stage_ctx.stage.seed, "students"), stage_ctx.ctx
    )
    images = stage_ctx.images("test")[torch.from_numpy(unseen)]
    right = agreement(students, images, torch.from_numpy(side[unseen]).to(device))
    needed = [images_needed(sizes, curve) for curve in right.mean(axis=2)]
    write_arrays(
        stage_ctx.out("agreement.h5"),
        {"n": np.array(sizes), "agreement": right, "needed": np.array(needed)},
    )


def generator(stage_ctx: StageContext, use: str) -> torch.Generator:
    """Return a generator of the user's seed: all explainers' students get the same draws."""
    return torch.Generator().manual_seed(seed_from(stage_ctx.stage.seed, use))


def common_target(stage_ctx: StageContext, n: int) -> ExplanationTarget:
    """Return for n images the target that most cases have."""
    cases = stage_ctx.arrays("cases", "source_class", "target_class")
    source = np.bincount(cases["source_class"]).argmax()
    target = cases["target_class"][cases["source_class"] == source][0]
    task = stage_ctx.dataset().task
    return read_targets(stage_ctx, task, np.full(n, source, np.int64), np.full(n, target, np.int64))


@torch.no_grad()
def decisions(stage_ctx: StageContext, split: str) -> Ints:
    """Return the teacher's decision on each image of a split. (N,).

    1 where it sees the finding or the source class, 0 where not or where it sees the target
    class, -1 for any other class.
    """
    model, images = load_model(stage_ctx), stage_ctx.images(split)
    parts = stage_ctx.ctx.batches(len(images))
    outputs = torch.cat([model(images[torch.arange(len(images))[part]]) for part in parts])
    target = common_target(stage_ctx, len(images))
    side = torch.where(
        target.predicts_source(outputs), 1, torch.where(target.reached_target(outputs), 0, -1)
    )
    return cast(Ints, side.cpu().numpy())


def balanced(side: Ints, limit: int, rng: torch.Generator) -> Ints:
    """Draw at most `limit` positions, of side 1 and side 0 in turns."""
    order = torch.randperm(len(side), generator=rng).numpy()
    pools = [order[side[order] == value] for value in (1, 0)]
    each = min(limit // 2, *(len(pool) for pool in pools))
    return np.stack([pool[:each] for pool in pools], axis=1).ravel()


def require_enough(count: int, which: str) -> None:
    if count < SIZES[0]:
        raise Unsupported(
            f"the model puts {count // 2} {which} images on one side of its decision; "
            f"a student needs {SIZES[0] // 2} on each"
        )


def explain_images(stage_ctx: StageContext, position: Ints) -> Floats:
    """Explain training images by position. (n, H, W)."""
    explainer = cast(Explainer, stage_ctx.stage.component)
    model, images = load_model(stage_ctx), stage_ctx.images("train")
    stage_ctx = with_reference(stage_ctx, explainer, model)
    index, target = torch.from_numpy(position), common_target(stage_ctx, len(position))
    parts = [
        explain(explainer, model, images[index[part]], target[part], stage_ctx)
        .attribution.detach()
        .cpu()
        for part in stage_ctx.ctx.batches(len(index))
    ]
    return cast(Floats, torch.cat(parts).float().numpy())


@dataclass(frozen=True)
class TrainingSet:
    """What students are trained on: `images` (L, C, H, W), `label` (L,) 1 and 0 in turns.

    `attribution` (L, H, W) signed, or None for a student that gets no maps.
    """

    images: Tensor
    label: Tensor
    attribution: Tensor | None = None

    def __len__(self) -> int:
        return len(self.label)


class Student(nn.Module):
    """A small convolutional network with attention pooling over `cells` x `cells` places.

    It fits images of the size and brightness of `like` (N, C, H, W).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        _, channels, size, _ = like.shape
        self.register_buffer("mean", like.mean())
        self.register_buffer("deviation", like.std().clamp_min(1e-6))
        channels, width = channels + 2, 16  # with coordinates, or attention could choose no place
        layers: list[nn.Module] = []
        while size > MAX_CELLS:
            layers += [convolution(channels, width, stride=2), nn.ReLU()]
            size, channels, width = (size + 1) // 2, width, 32
        layers += [convolution(channels, 32, stride=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.attend = nn.Conv2d(32, 1, 1)
        self.decide = nn.Linear(32, 1)
        self.cells = size

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) -> logits (N,) and the log of attention over cells (N, P)."""
        n, _, h, w = x.shape
        x = (x - self.mean) / self.deviation
        across = torch.linspace(-1, 1, w, device=x.device).expand(n, 1, h, w)
        down = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(n, 1, h, w)
        features = self.features(torch.cat([x, across, down], dim=1))
        attention = self.attend(features).flatten(1).log_softmax(1)
        pooled = (features.flatten(2) * attention.exp()[:, None]).sum(2)
        return self.decide(pooled).squeeze(1), attention


def convolution(channels: int, width: int, stride: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution with weights that keep the variance (He et al. 2015)."""
    layer = nn.Conv2d(channels, width, 3, stride, 1)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def downscaled(images: Tensor) -> Tensor:
    return images if images.shape[-1] <= MAX_SIZE else F.adaptive_avg_pool2d(images, MAX_SIZE)


def attention_targets(attribution: Tensor, cells: int) -> Tensor:
    """Turn maps (L, H, W) into shares of |attribution| per cell (L, P), or all 0."""
    mass = F.adaptive_avg_pool2d(attribution.abs()[:, None], cells).flatten(1)
    return mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)


def train_students(
    examples: TrainingSet, sizes: list[int], seed: int, ctx: Context
) -> list[list[Student]]:
    """Train `STUDENTS` students with each number of images; return them (S, K).

    First weights, images and batches depend on `seed` and the student's number alone, and fewer
    images are part of more: students with different maps, or none, are alike in all else.
    The maps pull attention by a divergence in the loss (Pruthi et al. 2022, attention
    regularisation). All take a step before the next one, each by itself, which a processor does
    in half the time of grouped convolutions.
    """
    x, device = downscaled(examples.images), examples.label.device
    students = [untrained_students(x, len(sizes), seed_from(seed, s)) for s in range(STUDENTS)]
    nets = nn.ModuleList(student for row in students for student in row)
    orders = [shuffled(len(examples), seed_from(seed, s, "order")) for s in range(STUDENTS)]
    pulls = (
        None
        if examples.attribution is None
        else attention_targets(examples.attribution, students[0][0].cells)
    )
    adam = torch.optim.Adam(nets.parameters(), LEARNING_RATE, fused=True)
    for step in ctx.loop(OPTIMIZER_STEPS, {"students": nets, "adam": adam}):
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / OPTIMIZER_STEPS)
        adam.zero_grad()
        total = torch.zeros((), device=device)
        for s, row in enumerate(students):
            rng = torch.Generator().manual_seed(seed_from(seed, s, step))
            share = torch.rand(BATCH, generator=rng, dtype=torch.float64)
            for n, student in zip(sizes, row, strict=True):
                rows = orders[s][(share * n).long()].to(device)
                pull = None if pulls is None else pulls[rows]
                loss = student_loss(student, x[rows], examples.label[rows], pull)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        adam.step()
        ctx.log(loss=total.item() / len(nets))
    return students


def untrained_students(like: Tensor, count: int, seed: int) -> list[Student]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = Student(like)
    return [
        copy.deepcopy(first).to(like.device).to(memory_format=torch.channels_last)
        for _ in range(count)
    ]


def shuffled(n: int, seed: int) -> Tensor:
    """Shuffle positions 0..n-1 of examples, keeping the two labels in turns. (n,)."""
    rng = torch.Generator().manual_seed(seed)
    pairs = [2 * torch.randperm(n // 2, generator=rng) + label for label in (0, 1)]
    return torch.stack(pairs, dim=1).flatten()


def student_loss(student: Student, x: Tensor, label: Tensor, shares: Tensor | None) -> Tensor:
    """Cross-entropy, plus the divergence of attention from maps `shares` (N, P), if any."""
    logits, attention = student(x)
    loss = F.binary_cross_entropy_with_logits(logits, label.float())
    if shares is None:
        return loss
    return loss + MAP_WEIGHT * F.kl_div(attention, shares, reduction="batchmean")


@torch.no_grad()
def agreement(students: list[list[Student]], x: Tensor, label: Tensor) -> Bools:
    """Whether each student (S, K) decides as the teacher does on unseen images. (S, K, M)."""
    x, decided = downscaled(x), label == 1
    right = [torch.stack([(net(x)[0] > 0) == decided for net in row]) for row in students]
    return cast(Bools, torch.stack(right).cpu().numpy())


def images_needed(sizes: list[int], curve: NDArray[np.float64]) -> float:
    """Return the number of images at which agreement first reaches 90 %, NaN where it never does.

    Linear in log n between the numbers tried (K,), of which the smallest is the least answer.
    """
    reached = np.flatnonzero(curve >= TARGET_AGREEMENT)
    if len(reached) == 0:
        return float("nan")
    k = int(reached[0])
    if k == 0:
        return float(sizes[0])
    share = (TARGET_AGREEMENT - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(sizes[k - 1] * (sizes[k] / sizes[k - 1]) ** share)


STEPS = (
    Step(
        "student_training_set",
        compute_student_training_set,
        inputs=("head", "cases"),
        optional=("encoder",),
    ),
    Step("student", compute_student, inputs=("student_training_set",), trains=True),
)
