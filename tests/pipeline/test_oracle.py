"""The independent model learns from labelled pixels, repeatably."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_stages import AREA, BINARY, SIZE, THREE, TWO, Bank, Squares

import gvr_bench.api as gvr
from gvr_bench.cache.hdf5 import read_arrays
from gvr_bench.cache.serialization import read_json, read_weights
from gvr_bench.core.reference import even_positions
from gvr_bench.metrics import oracle
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps import oracle as module
from gvr_bench.pipeline.steps.oracle import (
    ResidualNet,
    compute_oracle,
    load_oracle,
    read_examples,
    train_oracle,
)
from gvr_bench.registry.registry import GROUP, Registry


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of training, which teach nothing."""
    monkeypatch.setattr(module, "EPOCHS", (1, 3))


def train(bank: Bank, dataset: gvr.Dataset) -> StageContext:
    return bank.compute(bank.stage("oracle", bank.data(dataset)), compute_oracle)


def weights_of(stage_ctx: StageContext) -> dict[str, torch.Tensor]:
    return read_weights(stage_ctx.out("weights.safetensors"))[0]


def same(a: StageContext, b: StageContext) -> bool:
    first, second = weights_of(a), weights_of(b)
    return all(torch.equal(first[name], second[name]) for name in first)


def scores_of(stage_ctx: StageContext) -> dict[tuple[str, str], dict]:
    rows = read_json(stage_ctx.out("scores.json"))
    return {(row["metric"], row["output"]): row for row in rows}


def unlabel(wanted: str, rows: slice):
    def change(name: str, targets: np.ndarray) -> None:
        if name == wanted:
            targets[rows] = np.nan

    return change


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_labels_is_named(tmp_path: Path, short: None, split: str) -> None:
    dataset = Squares(BINARY, change=unlabel(split, slice(None)))
    with pytest.raises(gvr.DataError, match=f"^no image of the split '{split}' carries a label$"):
        train(Bank(tmp_path), dataset)


def test_images_without_a_label_teach_nothing(tmp_path: Path, short: None) -> None:
    fewer = train(Bank(tmp_path / "fewer"), Squares(TWO, {"train": 40}))
    some = Squares(TWO, {"train": 48}, change=unlabel("train", slice(40, None)))
    assert same(fewer, train(Bank(tmp_path / "some"), some))


def test_one_class_gives_no_oracle_auroc(tmp_path: Path, short: None) -> None:
    def all_positive(name: str, targets: np.ndarray) -> None:
        targets[:] = 1

    built = train(Bank(tmp_path), Squares(BINARY, change=all_positive))
    row = scores_of(built)["oracle_auroc", "all"]
    assert row["score"]["value"] is None
    assert row["reason"] == "the test split has one class only"
    assert read_json(built.out("decision.json"))["threshold"] == [0.5]


@pytest.mark.parametrize("count", [1, 2])
def test_one_image_is_enough_to_train(tmp_path: Path, short: None, count: int) -> None:
    built = train(Bank(tmp_path), Squares(BINARY, {"train": count}))
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(built).values())


def test_weights_depend_on_the_seed(tmp_path: Path, short: None) -> None:
    first, again, other = (
        train(Bank(tmp_path / name, seed), Squares(BINARY))
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert same(first, again)
    assert not same(first, other)


def test_training_draws_depend_on_the_seed(tmp_path: Path, short: None) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("oracle", bank.data(Squares(BINARY)))
    ends = []
    for bank.seed in (1, 1, 2):
        stage_ctx = bank.stage_ctx(stage)
        torch.manual_seed(0)
        net = ResidualNet(gvr.ImageSpec(1, SIZE), 1)
        examples = read_examples(stage_ctx, "train")
        train_oracle(net, examples, examples, stage_ctx)
        ends.append(net.last.weight.detach())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_weights_of_lowest_validation_loss(tmp_path: Path) -> None:
    def mislead(name: str, targets: np.ndarray) -> None:
        if name == "validation":
            targets[:] = 1 - targets  # the more is learnt, the worse it gets

    bank = Bank(tmp_path)
    stage = bank.stage("oracle", bank.data(Squares(BINARY, change=mislead)))
    built = bank.compute(stage, compute_oracle)
    losses = [row["validation_loss"] for row in read_json(built.out("history.json"))]
    oracle = load_oracle(bank.stage_ctx(bank.stage("scores", stage)))
    x, wanted = read_examples(built, "validation").take(torch.arange(24))
    stored = gvr.task_loss(oracle.outputs(x), wanted, BINARY).item()
    assert stored == pytest.approx(min(losses), rel=1e-4)
    assert losses[-1] > 1.5 * stored


def test_resumed_training_ends_the_same(tmp_path: Path, short: None) -> None:
    complete = train(Bank(tmp_path / "whole"), Squares(THREE))
    bank = Bank(tmp_path / "parts")
    stage = bank.stage("oracle", bank.data(Squares(THREE)))
    resumed = bank.resumed(stage, compute_oracle, killed_at=2)
    assert same(complete, resumed)
    for name in ("history.json", "decision.json", "scores.json"):
        assert read_json(complete.out(name)) == read_json(resumed.out(name))


@pytest.mark.parametrize("task", [BINARY, TWO, THREE, AREA], ids=lambda task: task.kind)
def test_it_learns_every_kind_of_task(tmp_path: Path, task: gvr.Task) -> None:
    built = train(Bank(tmp_path), Squares(task))
    scores = scores_of(built)
    declared = {declaration.name for declaration in oracle.GROUP.declarations}
    assert {metric for metric, _ in scores} <= declared
    assert scores["oracle_auroc", "all"]["score"]["value"] > 0.85
    assert scores["oracle_accuracy", "all"]["score"]["value"] > 0.7
    assert (("oracle_mae", "all") in scores) == (task.kind == "regression")


def test_regression_starts_at_the_mean(tmp_path: Path, short: None) -> None:
    built = train(Bank(tmp_path), Squares(AREA))
    targets = read_arrays(built.data(), "train/targets")["train/targets"]
    weights = weights_of(built)
    assert weights["mean"].item() == pytest.approx((np.log(targets) / 10).mean(), rel=1e-5)
    assert weights["deviation"].item() == pytest.approx((np.log(targets) / 10).std(), rel=1e-5)
    threshold = read_json(built.out("decision.json"))["threshold"]
    assert threshold == pytest.approx([np.log(30.0) / 10])
    prediction = read_arrays(built.out("test.h5"), "prediction")["prediction"]
    assert 4 < prediction.mean() < 65  # in the unit, not scaled


def test_oracle_uses_its_own_thresholds(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    data = bank.data(Squares(TWO))
    stage = bank.stage("oracle", data)
    bank.compute(stage, compute_oracle)
    judging = bank.stage_ctx(bank.stage("scores", stage, bank.cases(data)), batch_size=5)
    oracle = load_oracle(judging)
    images = judging.images("test")
    x, shown = images[torch.arange(24)], images.targets > 0
    for k in range(2):
        calls = np.full(24, k)
        target = oracle.target(calls, calls)
        limit = np.float32(read_json(bank.stage_ctx(stage).out("decision.json"))["threshold"][k])
        torch.testing.assert_close(target.threshold, torch.full((24,), limit.item()))
        agreed = target.predicts_source(oracle.outputs(x)) == shown[:, k]
        assert agreed.float().mean() > 0.7
        assert torch.equal(
            target.reached_target(oracle.outputs(x)), ~target.predicts_source(oracle.outputs(x))
        )


def test_features_feed_the_last_layer(tmp_path: Path, short: None) -> None:
    bank = Bank(tmp_path)
    data = bank.data(Squares(THREE))
    stage = bank.stage("oracle", data)
    bank.compute(stage, compute_oracle)
    needs = bank.stage("decoding", data, stage)
    small, large = (load_oracle(bank.stage_ctx(needs, batch_size=size)) for size in (5, 100))
    x = large.net.features(torch.zeros(1, 1, SIZE, SIZE))
    assert x.shape == (1, 64)
    x = bank.stage_ctx(needs).images("test")[torch.arange(24)]
    torch.testing.assert_close(small.outputs(x), large.outputs(x))
    torch.testing.assert_close(large.net.last(small.features(x)), large.outputs(x))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 64, 100, 128, 512])
def test_feature_length_is_size_independent(size: int, channels: int) -> None:
    net = ResidualNet(gvr.ImageSpec(channels, size), 5).eval()
    sides = []
    for layer in net.maps:
        layer.register_forward_hook(lambda _, __, built: sides.append(built.shape[-1]))
    x = torch.randn(2, channels, size, size)
    assert net(x).shape == (2, 5)
    assert net.features(x).shape == (2, 64)
    assert sides[-3] <= 24  # where the wide layers begin, which do most of the work


@pytest.mark.parametrize(("n", "count", "expected"), [(3, 5, [0, 1, 2]), (10, 4, [0, 2, 5, 7])])
def test_spread_positions_are_evenly_spaced(n: int, count: int, expected: list[int]) -> None:
    assert even_positions(n, count).tolist() == expected


@pytest.mark.slow
def test_oracle_sees_heart_failure_in_phantom(tmp_path: Path) -> None:
    registry = Registry(list(entry_points(group=GROUP)))
    cls, settings = registry.settings(
        "dataset", "phantom", "quick", {"train": 600, "validation": 100, "test": 200}
    )
    built = train(Bank(tmp_path), cls(settings))
    assert scores_of(built)["oracle_auroc", "all"]["score"]["value"] > 0.85
