"""What is no number is never stored: not as weights, not as latents, not as a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_up_stages import BINARY, Bank, Squares
from tiny import command
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.core.errors import TrainingError
from gvr_bench.pipeline.memory_shortage import compute
from gvr_bench.pipeline.steps import class_autoencoders as class_autoencoders
from gvr_bench.pipeline.steps import heads, oracle
from gvr_bench.pipeline.steps import train_networks as networks


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_oracle_stops_at_the_step(bank: Bank, monkeypatch, bad: float) -> None:
    original = gvr.task_loss
    calls = []

    def loss(*what: object) -> torch.Tensor:
        calls.append(0)
        return original(*what) * (bad if len(calls) == 3 else 1)

    monkeypatch.setattr(oracle, "task_loss", loss)
    stage = bank.stage("oracle", bank.data(Squares(BINARY)))
    stage_ctx = bank.stage_ctx(stage)
    with pytest.raises(
        TrainingError, match=rf"loss became {bad} at step 2 of 40; no checkpoint is left"
    ):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)
    assert not stage_ctx.out("weights.safetensors").exists()


def test_class_autoencoders_stop_at_step(bank: Bank, monkeypatch) -> None:
    original, calls = class_autoencoders.squared_error, []

    def error(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        return original(net, x) * (torch.nan if len(calls) == 5 else 1)

    monkeypatch.setattr(class_autoencoders, "squared_error", error)
    data = bank.data(Squares(BINARY))
    stage = bank.stage("class_autoencoders", data, component=data.component)
    with pytest.raises(TrainingError, match="mse became nan at step 2 of"):
        bank.compute(stage, class_autoencoders.compute_class_autoencoders)


class Fickle(gvr.Generator):
    """Writes no losses down, and ends with weights that are no numbers."""

    bad = float("nan")

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        net = nn.Linear(4, image.channels * image.size**2)
        net.latent_dim = 4
        return nn.Sequential(net, nn.Unflatten(1, (image.channels, image.size, image.size)))

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        for step in ctx.loop(9, {"net": net}):
            if step == 5:
                net[0].weight.data[0, 0] = self.bad


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_weights_are_not_stored(bank: Bank, monkeypatch, bad: float) -> None:
    monkeypatch.setattr(Fickle, "bad", bad)
    monkeypatch.setattr(networks, "write_samples", lambda stage_ctx, net: None)
    stage = bank.stage("generator", bank.data(Squares(BINARY)), component=Fickle(gvr.Settings()))
    stage_ctx = bank.stage_ctx(stage)
    with pytest.raises(TrainingError, match=r"the weights 0\.weight hold NaN or infinity"):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)
    assert not stage_ctx.out("weights.safetensors").exists()


def test_non_finite_checkpoint_is_not_saved(bank: Bank) -> None:
    stage = bank.stage("generator", bank.data(Squares(BINARY)), component=Fickle(gvr.Settings()))
    stage_ctx = bank.stage_ctx(stage, checkpoints=FileCheckpoints(bank.root / "work", 0))
    message = "the state of the training holds NaN; a checkpoint of step 5 is left; try other"
    with pytest.raises(TrainingError, match=message):
        compute(stage, stage_ctx.cache, stage_ctx.ctx)
    actual = FileCheckpoints(bank.root / "work", 0).load()
    assert actual is not None
    assert actual[0] == 5
    assert actual[1]["net"]["0.weight"].isfinite().all()


def test_non_finite_latents_are_not_stored(bank: Bank, monkeypatch) -> None:
    class Overflow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :4] * torch.inf

    generator = nn.Module()
    generator.latent_dim = 4
    monkeypatch.setattr(heads, "load_generator", lambda stage_ctx: generator)
    monkeypatch.setattr(heads, "load_encoder", lambda stage_ctx, generator: Overflow())
    data = bank.data(Squares(BINARY))
    stage = bank.stage("latents", data)
    stage.settings.update(copies=0, shift=0.0)
    with pytest.raises(TrainingError, match="the encoder gives NaN or infinity for images of 'tr"):
        bank.compute(stage, heads.compute_latents)
    assert not bank.stage_ctx(stage).out("latents.h5").exists()


def test_failed_training_stores_nothing(cli, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rotten = "vae:steps=9,width=4,batch=8,learning_rate=1e30"
    done = cli(*command("--cache-dir", cache, "--checkpoint-every", "0", generator=rotten))
    assert done.code == 1, done
    assert "loss became" in done.err
    assert " of 9; " in done.err
    assert "try other settings of vae" in done.err
    complete = {path.parent.parent.name for path in cache.rglob("meta.json")}
    assert not complete & {"generator", "encoder", "latents", "head", "explanations", "scores"}
