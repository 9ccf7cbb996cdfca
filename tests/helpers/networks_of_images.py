"""Small untrained networks of images: what people bring, and what the encoder is."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from small_parts import Painter, frozen, seeded
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import gvr_bench.api as gvr
from gvr_bench.core.reference import Reference

SIZE = 32
TASK = gvr.Task("multilabel", ("mass", "fluid"))


class Block(nn.Module):
    """A residual block with batch normalisation, as in a ResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.norm(self.conv(x)))


def cnn() -> nn.Module:
    """Convolutions with ReLU, batch normalisation, a maximum and global average pooling."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        Block(8), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), Block(16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net


class Vit(nn.Module):
    """A vision transformer of grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.net = VisionTransformer(SIZE, 8, 2, 2, 16, 32, num_classes=2)
        nn.init.normal_(self.net.heads.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.expand(-1, 3, -1, -1))


def on_latents() -> gvr.Model:
    """A head on the latents of a convolutional encoder with SELU."""

    def build() -> nn.ModuleList:
        layers = [nn.Conv2d(1, 8, 4, 2, 1), nn.SELU(), nn.Conv2d(8, 16, 4, 2, 1), nn.SELU(),
                  nn.Conv2d(16, 16, 4, 2, 1), nn.SELU()]  # fmt: skip
        for layer in layers[::2]:  # far from linear, as trained weights are
            nn.init.normal_(layer.weight, std=2 / layer.weight[0].numel() ** 0.5)
        encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 16, 4))
        return nn.ModuleList([encoder, Painter(1, SIZE), nn.Linear(4, 2)])

    return gvr.Model(*(frozen(net) for net in seeded(build)))


def model_of(kind: str) -> gvr.Model:
    """A model by name: `latents`, `cnn` or `vit`."""
    if kind == "latents":
        return on_latents()
    net = frozen(seeded({"cnn": cnn, "vit": Vit}[kind], 1))
    model = on_latents()
    return dataclasses.replace(model, head=nn.Sequential(model.generator, net), classifier=net)


def pictures(n: int = 4) -> Tensor:
    """Smooth images of bright discs in noise: (n, 1, 32, 32) in [-1, 1]."""
    rng = torch.Generator().manual_seed(5)
    rows = torch.arange(SIZE)
    images = []
    for _ in range(n):
        top, left = torch.randint(8, SIZE - 8, (2,), generator=rng)
        disc = ((rows[:, None] - top) ** 2 + (rows - left) ** 2 < 30).float()
        noise = torch.rand(SIZE, SIZE, generator=rng) * 0.6
        images.append((noise + disc - 0.9).clamp(-1, 1))
    return torch.stack(images)[:, None]


def target_of(n: int) -> gvr.ExplanationTarget:
    """Ask n images about the first output."""
    zeros = torch.zeros(n, dtype=torch.int64)
    return gvr.ExplanationTarget(TASK, zeros, zeros, zeros.float(), zeros.float())


def context_of(model: gvr.Model, images: Tensor | None = None) -> gvr.Context:
    """A context whose training images are 60 pictures, or those given."""
    images = pictures(60) if images is None else images
    labels = ((np.arange(len(images))[:, None] + np.arange(2)) % 2).astype(np.float32)
    reference = Reference(model, TASK, labels, lambda index: images[index])
    return gvr.Context(torch.device("cpu"), _reference=reference)
