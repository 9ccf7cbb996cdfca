"""Autoencoders of one class each show which class an image looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_stages import AREA, BINARY, THREE, TWO, Bank, Squares

import gvr_bench.api as gvr
from gvr_bench.cache.serialization import read_json, read_weights
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import class_autoencoders as module
from gvr_bench.pipeline.steps.class_autoencoders import (
    Autoencoder,
    compute_class_autoencoders,
    reconstruction_errors,
    sides,
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of training, which teach nothing."""
    monkeypatch.setattr(module, "OPTIMIZER_STEPS", 3)


def train_class_autoencoders(bank: Bank, dataset: gvr.Dataset) -> StageContext:
    """A stage with trained class autoencoders."""
    data = bank.data(dataset)
    cases = bank.cases(data)
    stage = bank.stage("class_autoencoders", data, component=dataset)
    bank.compute(stage, compute_class_autoencoders)
    return bank.stage_ctx(bank.stage("scores", stage, cases), batch_size=10)


def names_of(stage_ctx: StageContext) -> list[str]:
    return read_json(stage_ctx.file(stage_ctx.stage.input("class_autoencoders"), "sides.json"))


def weights_of(stage_ctx: StageContext) -> dict[str, torch.Tensor]:
    return read_weights(
        stage_ctx.file(stage_ctx.stage.input("class_autoencoders"), "weights.safetensors")
    )[0]


def test_too_few_images_give_no_autoencoder(tmp_path: Path, short: None) -> None:
    stage_ctx = train_class_autoencoders(
        Bank(tmp_path), Squares(THREE, {"train": 58})
    )  # 20 + 19 + 19
    assert names_of(stage_ctx) == []
    calls = np.ones(4, np.int64), np.full(4, 2)
    errors = reconstruction_errors(stage_ctx, torch.zeros(4, 1, 16, 16), *calls)
    assert [error.isnan().all().item() for error in errors] == [True, True]
    single = train_class_autoencoders(
        Bank(tmp_path / "more"), Squares(THREE, {"train": 59})
    )  # 20 + 20 + 19
    target, source = reconstruction_errors(single, torch.zeros(4, 1, 16, 16), *calls)
    assert names_of(single) == ["with 1"]
    assert target.isnan().all()
    assert source.isfinite().all()


def test_unlabelled_images_are_on_no_side(tmp_path: Path, short: None) -> None:
    def unlabel(name: str, targets: np.ndarray) -> None:
        if name == "train":
            targets[: len(targets) // 2] = np.nan

    stage_ctx = train_class_autoencoders(
        Bank(tmp_path), Squares(BINARY, {"train": 76}, change=unlabel)
    )
    assert names_of(stage_ctx) == []  # 38 labelled, 19 on each side


def test_cases_determine_the_sides() -> None:
    assert [str(side) for side in sides(THREE, 1, 2)] == ["with 2", "with 1"]
    for task in (BINARY, TWO, AREA):
        assert [str(side) for side in sides(task, 0, 0)] == ["without 0", "with 0"]


def test_few_images_take_fewer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The side of 24 images is done when the other begins its second half."""
    monkeypatch.setattr(module, "EPOCHS", 2)

    def rare(name: str, targets: np.ndarray) -> None:
        if name == "train":
            targets[:] = 0
            targets[:24] = 1

    lengths, original = [], module.Training

    class Recorded(original):
        def __init__(self, net: torch.nn.Module, images: int) -> None:
            super().__init__(net, images)
            lengths.append((images, self.steps))

    monkeypatch.setattr(module, "Training", Recorded)
    stage_ctx = train_class_autoencoders(
        Bank(tmp_path), Squares(BINARY, {"train": 152}, change=rare)
    )
    assert lengths == [(128, 4), (24, 2)]
    assert sorted(names_of(stage_ctx)) == ["with 0", "without 0"]


def test_each_output_has_two_autoencoders(tmp_path: Path, short: None) -> None:
    stage_ctx = train_class_autoencoders(Bank(tmp_path), Squares(TWO))
    assert sorted(names_of(stage_ctx)) == ["with 0", "with 1", "without 0", "without 1"]
    x = stage_ctx.images("test")[torch.arange(12)]
    source = np.arange(12) % 2
    target_error, source_error = reconstruction_errors(stage_ctx, x, source, source)
    for k in range(2):
        rows = source == k
        alone = reconstruction_errors(stage_ctx, x[rows], source[rows], source[rows])
        torch.testing.assert_close(alone[0], target_error[rows])
        torch.testing.assert_close(alone[1], source_error[rows])


def test_autoencoder_restores_its_side_better(tmp_path: Path) -> None:
    stage_ctx = train_class_autoencoders(Bank(tmp_path), Squares(THREE, {"train": 150}))
    images = stage_ctx.images("test")
    shown = images.targets[:, 0].long()
    for k, nearer in ((1, "source"), (2, "target")):
        x = images[(shown == k).nonzero()[:, 0]]
        calls = np.ones(len(x), np.int64), np.full(len(x), 2)
        target_error, source_error = reconstruction_errors(stage_ctx, x, *calls)
        im1 = target_error / source_error
        assert ((im1 < 0.8) if nearer == "target" else (im1 > 1.25)).all()


def test_error_sums_pixels_and_channels() -> None:
    net = torch.nn.Identity()
    net.forward = lambda x: x + 0.5  # type: ignore[method-assign]
    assert module.squared_error(net, torch.zeros(2, 3, 4, 4)).tolist() == [12.0, 12.0]


def test_same_seed_gives_same_autoencoders(tmp_path: Path, short: None) -> None:
    complete, other = (
        train_class_autoencoders(Bank(tmp_path / name, seed), Squares(BINARY))
        for name, seed in (("whole", 1), ("other", 2))
    )
    bank = Bank(tmp_path / "parts", 1)
    data = bank.data(Squares(BINARY))
    stage = bank.stage("class_autoencoders", data, component=data.component)
    resumed = bank.resumed(stage, compute_class_autoencoders, killed_at=2)
    first, again, others = weights_of(complete), weights_of(resumed), weights_of(other)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], others[name]) for name in first)


@pytest.mark.parametrize("size", [8, 15, 28, 32, 128])
def test_autoencoder_keeps_any_size(size: int) -> None:
    x = torch.zeros(2, 3, size, size)
    assert Autoencoder(gvr.ImageSpec(3, size))(x).shape == x.shape
