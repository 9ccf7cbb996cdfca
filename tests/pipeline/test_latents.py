"""Latents are encoded and written part by part, and come out as if they had been held at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_stages import BINARY, Bank, Squares
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.core.errors import TrainingError
from gvr_bench.pipeline.steps import heads

COUNTS = {"train": 300, "validation": 24, "test": 513}
COPIES, SHIFT = 3, 0.125
COLUMNS = ("targets", "sample_ids", "patient_ids")


class Corner(nn.Module):
    """The first `dim` pixels, over again where there are fewer; NaN for image `spoilt`."""

    def __init__(self, dim: int, spoilt: int | None = None) -> None:
        super().__init__()
        self.dim, self.spoilt, self.seen = dim, spoilt, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x.flatten(1).repeat(1, -(-self.dim // x[0].numel()))[:, : self.dim]
        if self.spoilt is not None and self.seen <= self.spoilt < self.seen + len(x):
            z[self.spoilt - self.seen] = torch.nan
        self.seen += len(x)
        return z


def encode(tmp_path: Path, monkeypatch, encoder: Corner, counts: dict[str, int]) -> Path:
    """The file of latents of made-up images."""
    generator = nn.Module()
    generator.latent_dim = encoder.dim
    monkeypatch.setattr(heads, "load_generator", lambda stage_ctx: generator)
    monkeypatch.setattr(heads, "load_encoder", lambda stage_ctx, generator: encoder)
    bank = Bank(tmp_path)
    stage = bank.stage("latents", bank.data(Squares(BINARY, counts)))
    stage.settings.update(copies=COPIES, shift=SHIFT)
    return bank.compute(stage, heads.compute_latents).out("latents.h5")


def at_once(split: str) -> dict[str, np.ndarray]:
    """The arrays of a split, all images in one tensor."""
    built = Squares(BINARY, COUNTS).split(split)
    rounds, n = 1 + COPIES * (split == "train"), COUNTS[split]
    x = (
        torch.from_numpy(built.images(np.arange(n)))
        .float()
        .div(127.5)
        .sub(1)
        .repeat(rounds, 1, 1, 1)
    )
    ctx = gvr.Context(torch.device("cpu"))
    starts = range(0, len(x), 512)
    moved = [gvr.translate(x[i : i + 512], 2, ctx.rng(split, i)) for i in starts]
    x[n:] = torch.cat(moved)[n:]
    columns = {name: np.concatenate([getattr(built, name)] * rounds) for name in COLUMNS}
    return columns | {
        "z": Corner(9)(x).contiguous().numpy(), "copy": np.repeat(np.arange(rounds), n)
    }  # fmt: skip


def test_latents_do_not_depend_on_parts(tmp_path: Path, monkeypatch) -> None:
    path = encode(tmp_path, monkeypatch, Corner(9), COUNTS)
    for split in COUNTS:
        expected = at_once(split)
        actual = read_arrays(path, *(f"{split}/{name}" for name in expected))
        for name, array in expected.items():
            built = actual[f"{split}/{name}"]
            assert built.dtype == array.dtype, name
            np.testing.assert_array_equal(built, array, f"{split}/{name}")
    z = read_arrays(path, "train/z")["train/z"]
    assert len(np.unique(z, axis=0)) > 2 * COUNTS["train"], "copies that were not moved"


def test_non_finite_latent_in_last_part(tmp_path: Path, monkeypatch) -> None:
    encoder = Corner(9, spoilt=sum(COUNTS.values()) + COPIES * COUNTS["train"] - 1)
    with pytest.raises(TrainingError, match="NaN or infinity for images of 'test'"):
        encode(tmp_path, monkeypatch, encoder, COUNTS)
    assert not list(tmp_path.rglob("latents.h5"))


def test_latents_use_constant_memory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(heads, "WRITE_INTERVAL", 64)
    tracemalloc.start()
    try:
        path = encode(tmp_path, monkeypatch, Corner(2**13), {"train": 400})
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 50 * 2**20
    assert most < 10 * 2**20, f"{most:,} bytes"
