"""A stage at work, and how the networks it needs are loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.formats import read_json, read_weights
from gvr_bench.images import StoredImages
from gvr_bench.stages import Stage
from gvr_bench.store import Store
from gvr_bench.types import Model, Query, Task


@dataclasses.dataclass(frozen=True)
class Bench:
    """A stage at work: where its inputs are, where its value goes, how it is computed."""

    stage: Stage
    store: Store
    ctx: gvr.Context

    def out(self, name: str) -> Path:
        """Return a file of this stage."""
        return self.store.place(self.stage) / name

    def file(self, stage: Stage, name: str) -> Path:
        """Return a file of an input."""
        return self.store.folder(stage) / name

    def data(self) -> Path:
        """Return the file with all images."""
        return self.file(self.stage.input("data"), "data.h5")

    def images(self, split: str) -> StoredImages:
        """Read the images of a split."""
        return StoredImages(self.data(), split, self.dataset().task, self.ctx.device)

    def dataset(self) -> gvr.Dataset:
        """Return the data set, with what is asked of its test images where that matters."""
        try:
            stage = self.stage.input("cases")
        except LookupError:
            stage = self.stage.input("data")
        return cast(gvr.Dataset, stage.component)


def freeze(net: nn.Module) -> nn.Module:
    """Put a network in eval mode without gradients for its weights."""
    return net.eval().requires_grad_(False)


def load_network(bench: Bench, stage: Stage, net: nn.Module) -> nn.Module:
    """Fill a network with a stage's weights and freeze it."""
    weights, _ = read_weights(bench.file(stage, "weights.safetensors"))
    net.load_state_dict(weights)
    return freeze(net.to(bench.ctx.device))


def load_generator(bench: Bench) -> nn.Module:
    """Load the generator this stage depends on."""
    stage = bench.stage.input("generator")
    generator = cast(gvr.Generator, stage.component)
    return load_network(bench, stage, generator.build(bench.dataset().image))


def load_encoder(bench: Bench, generator: nn.Module) -> nn.Module:
    """Load the encoder this stage depends on."""
    stage = bench.stage.input("encoder")
    encoder = cast(gvr.Encoder, stage.component)
    return load_network(bench, stage, encoder.build(bench.dataset().image, generator))


def load_head(bench: Bench, latent_dim: int) -> nn.Module:
    """Load the head this stage depends on."""
    stage = bench.stage.input("head")
    head = cast(gvr.Head, stage.component)
    return load_network(bench, stage, head.build(latent_dim, bench.dataset().task))


def load_model(bench: Bench) -> Model:
    """Load all three networks."""
    generator = load_generator(bench)
    encoder = load_encoder(bench, generator)
    return Model(encoder, generator, load_head(bench, cast(int, generator.latent_dim)))


def cases_query(
    bench: Bench, task: Task, source: NDArray[np.int64], target: NDArray[np.int64]
) -> Query:
    """Return what is asked of cases, with the head's own decision thresholds."""
    found = read_json(bench.file(bench.stage.input("head"), "decision.json"))
    device = bench.ctx.device
    threshold = np.asarray(found["threshold"], np.float32)[source]
    typical = np.asarray(found["typical"], np.float32)[source, target]
    return Query(
        task,
        torch.from_numpy(source).to(device),
        torch.from_numpy(target).to(device),
        torch.from_numpy(threshold).to(device),
        torch.from_numpy(typical).to(device),
    )
