"""Small stand-ins for what the core hands to plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints


class Rack:
    """Images in memory; two per patient unless told otherwise, and no labels unless given."""

    task = gvr.Task("binary", ("bright",))

    def __init__(
        self, pixels: Tensor, patients: list[str] | None = None, targets: Tensor | None = None
    ) -> None:
        self.pixels = pixels
        self.targets = torch.full((len(pixels), 1), torch.nan) if targets is None else targets
        names = patients or [f"p{i // 2}" for i in range(len(pixels))]
        self.patient_ids = np.asarray(names, np.str_)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.pixels[index]


class Painter(nn.Module):
    """A linear decoder of four latents."""

    latent_dim = 4

    def __init__(self, channels: int = 1, size: int = 16) -> None:
        super().__init__()
        self.paint = nn.Linear(4, channels * size**2)
        self.shape = (channels, size, size)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.paint(z).unflatten(1, self.shape).tanh()


class Killed(Exception):  # noqa: N818
    """The machine went away."""


class Interrupted(FileCheckpoints):
    """Writes the checkpoint of step `at`, as a run does, and dies there; then lets it go on."""

    def __init__(self, folder: Path, at: int) -> None:
        super().__init__(folder, seconds=0)
        self.at = at

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        if step == self.at:
            self.at = 0
            super().save(step, state, history)
            raise Killed


def context(seed: int = 0, checkpoints: gvr.Checkpoints | None = None) -> gvr.Context:
    return gvr.Context(torch.device("cpu"), seed=seed, checkpoints=checkpoints)


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build a network whose first weights depend on the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def frozen(net: nn.Module) -> nn.Module:
    return net.eval().requires_grad_(False)


def weights(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two networks are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
