"""A small network that looks for traces of planting in what is left when the picture is removed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Generator, nn

MOST_IMAGES = 400
FOLDS = 4
EPOCHS = 20
BATCH = 16
# Residual of a pixel after its 24 neighbours predict it (Ker and Boehme 2008; Fridrich and
# Kodovsky 2012): smooth structures cancel, noise and traces of editing stay.
KERNEL = np.array(
    [
        [-1, 2, -2, 2, -1],
        [2, -6, 8, -6, 2],
        [-2, 8, -12, 8, -2],
        [2, -6, 8, -6, 2],
        [-1, 2, -2, 2, -1],
    ]
) / 12.0  # fmt: skip
LARGEST = 4.0  # grey levels: edges of the picture are cut off there


def forensic_scores(
    images: NDArray[np.uint8], hidden: NDArray[np.bool_], label: NDArray[np.bool_], seed: int
) -> NDArray[np.float64]:
    """Predict labels (n,) of images (n, c, h, w) from residuals outside of `hidden` (n, h, w).

    Each image is predicted by a network that was trained on other folds.
    """
    residual = residuals(images, hidden)
    order = np.random.default_rng(seed).permutation(len(label))
    scores = np.zeros(len(label))
    for fold in range(FOLDS):
        test, train = order[fold::FOLDS], np.setdiff1d(order, order[fold::FOLDS])
        rng = Generator().manual_seed(seed + fold)
        net = build(images.shape[1], rng)
        adam = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
        x, y = torch.from_numpy(residual[train]), torch.from_numpy(label[train]).float()
        for _ in range(EPOCHS):
            drawn = torch.randperm(len(train), generator=rng)
            for rows in torch.split(drawn, BATCH):  # type: ignore[no-untyped-call]
                loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows])
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
        with torch.no_grad():
            predicted = net(torch.from_numpy(residual[test]))[:, 0].double()
        # Folds differ in their level; only the order within a fold is theirs.
        scores[test] = (predicted - predicted.mean()) / predicted.std().clamp_min(1e-9)
    return scores


def residuals(images: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """High-pass residuals (n, c, h, w) in [-1, 1], 0 where they could see what is hidden."""
    reach = KERNEL.shape[0] // 2
    square = np.ones((1, 2 * reach + 1, 2 * reach + 1), bool)
    seen = ~ndimage.binary_dilation(hidden, square)[:, None]
    high = ndimage.convolve(images.astype(np.float32), KERNEL[None, None].astype(np.float32))
    return np.asarray(np.clip(high / LARGEST, -1, 1) * seen, np.float32)


def build(channels: int, rng: Generator) -> nn.Module:
    """Make a network (n, c, h, w) -> (n, 1) of statistics of filtered residuals."""
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 1),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            bound = 1 / max(parameter[0].numel(), 1) ** 0.5
            parameter.uniform_(-bound, bound, generator=rng)
    return net
