"""Stages around the head: its latents, its fit and decision, its scores on the test split."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.compute.bench import (
    Bench,
    cases_query,
    freeze,
    load_encoder,
    load_generator,
    load_head,
)
from gvr_bench.compute.networks import save_network, seeded
from gvr_bench.errors import DataError
from gvr_bench.formats import read_arrays, read_json, write_arrays, write_json
from gvr_bench.metrics import predict_scores
from gvr_bench.types import SPLITS, Latents, Task


@torch.no_grad()
def compute_latents(bench: Bench) -> None:
    """Encode every split once, and translated copies of the training images."""
    generator = load_generator(bench)
    encoder = load_encoder(bench, generator)
    copies, share = bench.stage.settings["copies"], bench.stage.settings["shift"]
    arrays: dict[str, NDArray[Any]] = {}
    for split in SPLITS:
        images = bench.images(split)
        columns = read_arrays(
            bench.data(), f"{split}/targets", f"{split}/sample_ids", f"{split}/patient_ids"
        )
        rounds = 1 + (copies if split == "train" else 0)
        n, shift = len(images), round(share * images[torch.arange(1)].shape[-1])
        z = np.empty((rounds * n, cast(int, generator.latent_dim)), np.float32)
        for part in bench.ctx.batches(rounds * n, 512):
            index = torch.arange(part.start, part.stop)
            rng = bench.ctx.generator(split, part.start)
            x = images[index % n]
            moved = gvr.translate(x, shift, rng)
            x = torch.where((index >= n).view(-1, 1, 1, 1).to(x.device), moved, x)
            z[part] = encoder(x).float().cpu().numpy()
        arrays[f"{split}/z"] = z
        arrays[f"{split}/copy"] = np.repeat(np.arange(rounds), n)
        for name, column in columns.items():
            arrays[name] = np.concatenate([column] * rounds)
    write_arrays(bench.out("latents.h5"), arrays)


def labelled(
    bench: Bench, split: str, *, copies: bool = False
) -> tuple[Tensor, NDArray[np.float32]]:
    """Read the labelled latents (N, D) of a split with targets (N, columns) in the task's unit.

    Raises `DataError` where nothing is labelled.
    """
    file = bench.file(bench.stage.input("latents"), "latents.h5")
    arrays = read_arrays(file, f"{split}/z", f"{split}/targets", f"{split}/copy")
    targets, copy = arrays[f"{split}/targets"], arrays[f"{split}/copy"]
    rows = ~np.isnan(targets).any(axis=1) & (copies | (copy == 0))
    if not rows.any():
        raise DataError(f"no image of the split '{split}' carries a label")
    z = torch.from_numpy(arrays[f"{split}/z"][rows]).to(bench.ctx.device)
    return z, targets[rows]


def scaled(bench: Bench, split: str, *, copies: bool = False) -> Latents:
    """Read labelled latents as a head is fitted on them."""
    z, targets = labelled(bench, split, copies=copies)
    values = bench.dataset().task.scale.apply(targets)
    return Latents(z, torch.from_numpy(values).to(z.device))


def compute_head(bench: Bench) -> None:
    """Fit a head on the latents, and find where its decision lies.

    A contaminated head is fitted on the test images and never held back by others.
    """
    head = cast(gvr.Head, bench.stage.component)
    task = bench.dataset().task
    contaminated = bool(bench.stage.settings.get("contaminated"))
    train = scaled(bench, "test" if contaminated else "train", copies=True)
    held_out = train if contaminated else scaled(bench, "validation")
    net = seeded(lambda: head.build(train.z.shape[1], task), bench.ctx)
    head.fit(net, train, held_out, task, bench.ctx)
    save_network(bench, net)
    z, targets = labelled(bench, "train")
    with torch.no_grad():
        outputs = freeze(net)(z).cpu()
    write_json(bench.out("decision.json"), decide(outputs, targets, task))


def decide(outputs: Tensor, targets: NDArray[np.float32], task: Task) -> dict[str, list[Any]]:
    """Say where a prediction counts as positive, and what it typically is without the finding.

    Outputs (N, K) of training images with their targets (N, columns) in the task's unit ->
    `threshold` (K,): the task's for regression; otherwise the training images' prediction with
    the highest Youden index, for findings are rare and 0.5 would call none. `typical` (K, K):
    row k, column j is the median prediction of output k among training images of class j; all
    columns are alike, those without finding k, where the task has no classes.
    """
    positive = torch.from_numpy(task.positives(targets))
    k = len(task.outputs)
    if task.kind == "multiclass":
        typical = [
            [_median(outputs.softmax(1)[positive[:, j], i]) for j in range(k)] for i in range(k)
        ]
        return {"threshold": [0.5] * k, "typical": typical}
    values = outputs if task.kind == "regression" else outputs.sigmoid()
    rest = [_median(values[~positive[:, i], i]) for i in range(k)]
    if task.kind == "regression":
        limits = [task.scale.apply_one(cast(float, task.threshold))] * k
    else:
        limits = [youden(values[:, i].numpy(), positive[:, i].numpy()) for i in range(k)]
    typical = [[min(rest[i], limits[i])] * k for i in range(k)]
    return {"threshold": limits, "typical": typical}


def _median(values: Tensor) -> float:
    """Median, or 0 where there are no values."""
    return float(values.median()) if len(values) else 0.0


def youden(prediction: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Return the threshold with the highest sensitivity + specificity; 0.5 for one class."""
    from sklearn.metrics import roc_curve

    if positive.all() or not positive.any():
        return 0.5
    false, true, thresholds = roc_curve(positive, prediction)
    return float(thresholds[1:][np.argmax((true - false)[1:])])


@torch.no_grad()
def compute_prediction(bench: Bench) -> None:
    """Score the head on the labelled test images."""
    z, targets = labelled(bench, "test")
    task = bench.dataset().task
    outputs = load_head(bench, z.shape[1])(z)
    query = cases_query(bench, task, np.zeros(1, np.int64), np.zeros(1, np.int64))
    limits = read_json(bench.file(bench.stage.input("head"), "decision.json"))["threshold"]
    predictions = query.activate(outputs).cpu().numpy()
    scores = predict_scores(task, predictions, targets, np.asarray(limits, np.float32))
    arrays = {
        "prediction": task.scale.invert(predictions),
        "positive": task.positives(targets),
    }
    write_arrays(bench.out("test.h5"), arrays)
    write_json(bench.out("scores.json"), [dataclasses.asdict(s) for s in scores])
