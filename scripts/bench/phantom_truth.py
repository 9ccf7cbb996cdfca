"""How much of the phantom's truth a constant map knows: `python scripts/bench/phantom_truth.py`.

For each output, over the positives of the test split: the *common share*, the squared norm of the
mean of the true changes, each of unit norm (1 if all changes are one picture, near 0 if they have
nothing in common), as they are and with each map's mean removed; the pixel AP of the *template*,
the mean of the training positives minus that of the negatives; and AUROCs of two models of the
pixels, which say whether the disease can be learnt.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from gvr_datasets.phantom.dataset import Phantom
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import gvr_bench.api as gvr

CASES = 400  # at most, per output
COMPONENTS = 128  # of the pixels, below the linear model


def pixels(split: gvr.Split) -> NDArray[np.float32]:
    """All images of a split, (N, 1, H, W) in [-1, 1]."""
    images = split.images(np.arange(len(split.targets)))
    return images.astype(np.float32) / 127.5 - 1.0


def common_share(maps: NDArray[np.float32], centre: bool) -> float:
    """Squared norm of the mean of unit-norm maps (N, D): the share that is common to all."""
    maps = maps - maps.mean(axis=1, keepdims=True) if centre else maps
    maps = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    return float((maps.mean(axis=0) ** 2).sum())


def template_ap(
    train: NDArray[np.float32], positive: NDArray[np.bool_], masks: NDArray[np.bool_]
) -> float:
    """Mean pixel AP of the constant map of the training split against the masks (N, H, W)."""
    template = np.abs(train[positive].mean(axis=0) - train[~positive].mean(axis=0)).ravel()
    return float(np.mean([average_precision_score(m.ravel(), template) for m in masks]))


class Classifier(nn.Sequential):
    """Four convolutions and a linear layer."""

    def __init__(self, outputs: int) -> None:
        layers: list[nn.Module] = []
        for inner, outer, stride in ((1, 32, 1), (32, 64, 2), (64, 96, 2), (96, 128, 2)):
            layers += [nn.Conv2d(inner, outer, 3, stride, 1), nn.BatchNorm2d(outer), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(2048, outputs))


def cnn_scores(
    train: NDArray[np.float32], target: NDArray[np.float32], test: NDArray[np.float32], epochs: int
) -> NDArray[np.float32]:
    """Scores (N, outputs) of a small network trained on ln(BNP) or on the findings."""
    torch.manual_seed(0)
    net = Classifier(target.shape[1])
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y = torch.from_numpy(train), torch.from_numpy(target)
    batch = 64
    steps = epochs * (len(x) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    binary = bool(((y == 0) | (y == 1)).all())
    loss = nn.BCEWithLogitsLoss() if binary else nn.MSELoss()
    for step in range(steps):
        rows = torch.randint(len(x), (batch,))
        image = torch.roll(x[rows], tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3))
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            guess = net(image.contiguous(memory_format=torch.channels_last))
        loss(guess.float(), y[rows]).backward()
        optimiser.step()
        plan.step()
        if step % (4 * len(x) // batch) == 0:
            print(f"  step {step} of {steps}", flush=True)
    net.eval()
    with torch.no_grad():
        return np.concatenate([net(part).numpy() for part in torch.from_numpy(test).split(250)])


def linear_scores(
    train: NDArray[np.float32], target: NDArray[np.float32], test: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores (N, outputs) of a linear model of the principal components."""
    pca = PCA(COMPONENTS, random_state=0).fit(train.reshape(len(train), -1))
    low, low_test = (pca.transform(x.reshape(len(x), -1)) for x in (train, test))
    if len(np.unique(target)) > 2:
        return np.asarray(Ridge(1.0).fit(low, target).predict(low_test)).reshape(len(test), -1)
    fits = [LogisticRegression(max_iter=500).fit(low, column) for column in target.T]
    return np.stack([fit.decision_function(low_test) for fit in fits], axis=1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--task", default="bnp", choices=("bnp", "findings"))
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--train", type=int, default=6000)
    options.add_argument("--test", type=int, default=1000)
    options.add_argument("--epochs", type=int, default=0, help="of the CNN; 0 leaves it out")
    chosen = options.parse_args()
    settings = vars(chosen) | {"validation": 10}
    epochs = settings.pop("epochs")
    phantom = Phantom(Phantom.Settings(**settings))
    train, test = phantom.split("train"), phantom.split("test")
    x, x_test = pixels(train), pixels(test)
    cut = 100.0 if chosen.task == "bnp" else 0.5
    positive, test_positive = train.targets >= cut, test.targets >= cut
    target = np.log(train.targets) / 2.0 if chosen.task == "bnp" else train.targets
    linear = linear_scores(x, target, x_test)
    start = time.perf_counter()
    cnn = cnn_scores(x, target, x_test, epochs) if epochs else None
    if epochs:
        print(f"CNN trained in {time.perf_counter() - start:.0f} s")
    print(f"{'output':14} cases  common  zero-mean  mask  template AP  linear AUROC  CNN AUROC")
    assert test.truth is not None
    for k, name in enumerate(phantom.task.outputs):
        index = np.flatnonzero(test_positive[:, k])[:CASES]
        truth = test.truth(index, np.full(len(index), k))
        assert truth.mask is not None
        assert truth.counterfactual is not None
        change = test.images(index).astype(np.float32) - truth.counterfactual
        some = truth.mask.any(axis=(1, 2))
        change = change.reshape(len(index), -1)[some]
        ap = template_ap(x, positive[:, k], truth.mask[some])
        row = [common_share(change, False), common_share(change, True), truth.mask[some].mean(), ap]
        row.append(roc_auc_score(test_positive[:, k], linear[:, k]))
        row.append(np.nan if cnn is None else roc_auc_score(test_positive[:, k], cnn[:, k]))
        print(f"{name:14} {some.sum():5d} " + "  ".join(f"{value:8.3f}" for value in row))


if __name__ == "__main__":
    main()
