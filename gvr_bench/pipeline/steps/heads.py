"""Stages around the head: its latents, its fit and decision, its scores on the test split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gvr_bench.cache.hdf5 import put_rows, write_arrays, writing_arrays
from gvr_bench.cache.serialization import write_json
from gvr_bench.core.components import Head, Images
from gvr_bench.core.context import translate
from gvr_bench.core.errors import TrainingError
from gvr_bench.core.types import SPLITS, Floats, Ints, Latents, Model
from gvr_bench.metrics import decoded_scores, predict_scores, score
from gvr_bench.metrics.prediction import PredictionScore
from gvr_bench.pipeline.decision_threshold import decide
from gvr_bench.pipeline.stage_context import (
    DECODED_BATCH,
    StageContext,
    Step,
    freeze,
    labelled_images,
    labelled_mask,
    load_encoder,
    load_generator,
    load_model,
    read_decision,
    write_scores,
)
from gvr_bench.pipeline.steps.train_networks import save_network, seeded
from gvr_bench.pipeline.steps.training_images import seen_in_training

COLUMNS = "targets", "sample_ids", "patient_ids"
WRITE_INTERVAL = 512  # images that are encoded between two writes
ENCODING_FACTOR = 4  # times the images of a batch are encoded at once: it takes no gradients


@torch.no_grad()
def compute_latents(stage_ctx: StageContext) -> None:
    """Encode every split once, and translated copies of the training images."""
    generator = load_generator(stage_ctx)
    encoder, dim = load_encoder(stage_ctx, generator), cast(int, generator.latent_dim)
    with writing_arrays(stage_ctx.out("latents.h5")) as file:  # part by part, for memory
        for split in SPLITS:
            write_latents(file.create_group(split), split, encoder, dim, stage_ctx)


def write_latents(
    group: Any, split: str, encoder: nn.Module, dim: int, stage_ctx: StageContext
) -> None:
    """Write latents (N, D), copy after copy. Raises `TrainingError` where one is not finite."""
    images = stage_ctx.images(split)
    copies = stage_ctx.stage.settings["copies"] if split == "train" else 0
    n, shift = (
        len(images),
        round(stage_ctx.stage.settings["shift"] * stage_ctx.dataset().image.size),
    )
    total = (1 + copies) * n
    for part in stage_ctx.ctx.batches(total, WRITE_INTERVAL):
        index = torch.arange(part.start, part.stop)
        rng = stage_ctx.ctx.rng(split, part.start)
        x = images[index % n]
        moved = translate(x, shift, rng)
        x = torch.where((index >= n).view(-1, 1, 1, 1).to(x.device), moved, x)
        chunks = torch.split(x, ENCODING_FACTOR * stage_ctx.ctx.batch_size)
        z = torch.cat([encoder(chunk) for chunk in chunks]).float().view(len(x), dim)
        if not z.isfinite().all():
            raise TrainingError(f"the encoder gives NaN or infinity for images of '{split}'")
        copy, row = np.divmod(index.numpy(), n)
        arrays = {"z": z.cpu().numpy(), "copy": copy, **read_columns(split, row, stage_ctx)}
        put_rows(group, arrays, part.start, total)


def read_columns(split: str, row: Ints, stage_ctx: StageContext) -> dict[str, NDArray[Any]]:
    """Read the columns of images of a split: rows (N,) that rise by 1 or begin again at 0."""
    runs = np.split(row, np.flatnonzero(row[1:] == 0) + 1)
    names = [f"{split}/{name}" for name in COLUMNS]
    parts = [stage_ctx.arrays("data", *names, rows=slice(run[0], run[-1] + 1)) for run in runs]
    return {
        column: np.concatenate([part[name] for part in parts])
        for column, name in zip(COLUMNS, names, strict=True)
    }


def labelled(stage_ctx: StageContext, split: str, *, copies: bool = False) -> tuple[Tensor, Floats]:
    """Read the labelled latents (N, D) of a split, and targets (N, columns) in the task's unit."""
    arrays = stage_ctx.arrays("latents", f"{split}/z", f"{split}/targets", f"{split}/copy")
    targets, copy = arrays[f"{split}/targets"], arrays[f"{split}/copy"]
    rows = labelled_mask(targets, split) & (copies | (copy == 0))
    z = torch.from_numpy(arrays[f"{split}/z"][rows]).to(stage_ctx.ctx.device)
    return z, targets[rows]


def scaled_latents(stage_ctx: StageContext, split: str, *, copies: bool = False) -> Latents:
    z, targets = labelled(stage_ctx, split, copies=copies)
    values = stage_ctx.dataset().task.scale.apply(targets)
    return Latents(z, torch.from_numpy(values).to(z.device))


def compute_head(stage_ctx: StageContext) -> None:
    """Fit a head on the latents, and find where its decision lies.

    A contaminated head is fitted on the test images and never held back by others.
    """
    head = cast(Head, stage_ctx.stage.component)
    task = stage_ctx.dataset().task
    contaminated = bool(stage_ctx.stage.settings.get("contaminated"))
    names = ("test", "test") if contaminated else ("train", "validation")
    train: Images | Latents
    held_out: Images | Latents
    if head.sees == "images":
        dim, (train, held_out) = 0, map(stage_ctx.images, names)
    else:
        train = scaled_latents(stage_ctx, names[0], copies=True)
        held_out = train if contaminated else scaled_latents(stage_ctx, names[1])
        dim = train.z.shape[1]
    net = seeded(lambda: head.build(dim, task), stage_ctx.ctx)
    head.fit(net, train, held_out, task, stage_ctx.ctx)
    save_network(stage_ctx, net)
    outputs, targets = predict(stage_ctx, head, freeze(net), "validation")
    decision = decide(outputs.cpu(), targets, task, head.threshold(task))
    write_json(stage_ctx.out("decision.json"), decision)


def predict(
    stage_ctx: StageContext, head: Head, net: nn.Module, split: str
) -> tuple[Tensor, Floats]:
    """Apply the frozen network of a head to the labelled images of a split, or their latents.

    Returns outputs (N, K) and targets (N, columns) in the task's unit. Raises `DataError` where
    nothing is labelled, and `TrainingError` as `finite` does.
    """
    if head.sees == "latents":
        z, targets = labelled(stage_ctx, split)
        return finite(lambda part: net(z[part]), [slice(0, len(z))]), targets
    images, index, targets = labelled_images(stage_ctx, split)
    parts = stage_ctx.ctx.batches(len(index), DECODED_BATCH)
    return finite(lambda part: net(images[index[part]]), parts), targets


def finite(outputs: Callable[[slice], Tensor], parts: Iterable[slice]) -> Tensor:
    """Put outputs together: (N, K). Raises `TrainingError` where one is NaN or infinite."""
    values = torch.cat([outputs(part) for part in parts])
    bad = int((~values.isfinite()).any(dim=1).sum())
    if bad:
        raise TrainingError(f"the head gives NaN or infinity for {bad} of {len(values)} images")
    return values


def compute_prediction(stage_ctx: StageContext) -> str:
    """Score the model on the labelled test images; return a note on those it was trained on."""
    stage, model = stage_ctx.stage.input("head"), load_model(stage_ctx)
    head, net = cast(Head, stage.component), model.classifier or model.head
    outputs, targets = predict(stage_ctx, head, net, "test")
    threshold = read_decision(stage_ctx, stage).threshold
    scores = score_outputs(stage_ctx, outputs, targets, threshold)
    if model.classifier is not None and model.has_decoder:
        scores = itertools.chain(
            scores, score_decoder(stage_ctx, model, outputs, targets, threshold)
        )
    trained = None if (listed := head.trained_on()) is None else seen_in_training(stage_ctx, listed)
    unseen = [] if trained is None else [PredictionScore("unseen_images", "all", score(~trained))]
    write_scores(stage_ctx, itertools.chain(scores, unseen))
    if trained is None or not trained.any():
        return ""
    return f"trained on {trained.sum():,} of the {len(trained):,} test images, or on their patients"


def score_decoder(
    stage_ctx: StageContext, model: Model, outputs: Tensor, targets: Floats, threshold: Floats
) -> Iterator[PredictionScore]:
    """Score a classifier of images on the labelled test images after encoding and decoding.

    `outputs` (N, K) are those for the images themselves, `targets` (N, columns) in the task's unit.
    """
    task, (z, _) = stage_ctx.dataset().task, labelled(stage_ctx, "test")
    parts = stage_ctx.ctx.batches(len(z), DECODED_BATCH)
    behind = finite(lambda part: model.head(z[part]), parts)
    first, decoded = (task.activate(values).cpu().numpy() for values in (outputs, behind))
    return decoded_scores(task, first, decoded, targets, threshold)


def score_outputs(
    stage_ctx: StageContext, outputs: Tensor, targets: Floats, threshold: Floats
) -> Iterator[PredictionScore]:
    """Score outputs (N, K) for test images with their targets (N, columns), and write them."""
    dataset = stage_ctx.dataset()
    task = dataset.task
    predictions = task.activate(outputs).cpu().numpy()
    arrays = {
        "prediction": task.scale.invert(predictions),
        "target": targets,
        "positive": task.positives(targets),
    }
    write_arrays(stage_ctx.out("test.h5"), arrays)
    return predict_scores(task, predictions, targets, threshold, dataset.least_auroc)


STEPS = (
    Step("latents", compute_latents, inputs=("data", "encoder"), gpu=0.25, essential=True),
    Step("head", compute_head, optional=("latents", "data"), trains=True, essential=True),
    Step(
        "prediction",
        compute_prediction,
        inputs=("head",),
        optional=("latents",),
        gpu=0.25,
        essential=True,
    ),
)
