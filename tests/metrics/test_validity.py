from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from made_up_inputs import BINARY, DIGITS, question, validity_input
from torch import nn

from gvr_bench.core.types import Model, Task
from gvr_bench.metrics.validity import (
    GROUP,
    confidence_gain,
    diversity,
    optimizer_steps,
    other_class_rate,
    redundancy,
    reencoded_validity,
    unchanged_rate,
    validity,
)

TWO = Task("multilabel", ("mass", "fluid"))
BNP = Task("regression", ("BNP",), "ng/L", threshold=100.0)
FOUR = Task("multiclass", ("a", "b", "c", "d"), source=0, target=1)


def gains(task: Task, before: Any, after: Any, **asked: int) -> torch.Tensor | None:
    """Score images of 2 x 2 pixels that are the outputs of the model themselves."""
    images = [np.array(x, np.float32).reshape(-1, 1, 2, 2) for x in (before, after)]
    n = len(images[0])
    model = Model(nn.Flatten(), nn.Identity(), nn.Identity())
    target = question(task, n, **asked)
    known = {"model": model, "target": target, "image": images[0], "counterfactual": images[1]}
    return confidence_gain(validity_input(n, **known))


@pytest.mark.parametrize("metric", GROUP.metrics)
def test_without_a_counterfactual_nothing_is_claimed(metric):
    assert metric(validity_input()) is None


def test_failed_counterfactuals_count_as_failures():
    seen = validity_input(
        reached_target=np.array([True, False]),
        reencoded_reached_target=np.array([False, False]),
    )
    assert validity(seen).tolist() == [1.0, 0.0]
    assert reencoded_validity(seen).tolist() == [0.0, 0.0]


def test_latent_and_image_differ():
    seen = validity_input(
        reached_target=np.array([True, False]), reencoded_reached_target=np.array([False, True])
    )
    assert validity(seen).tolist() == [1.0, 0.0]
    assert reencoded_validity(seen).tolist() == [0.0, 1.0]


def test_steps_are_counted_per_image():
    found = optimizer_steps(validity_input(steps=np.array([0, 500])))
    assert found.tolist() == [0.0, 500.0]
    assert found.dtype == torch.float64


def test_target_source_and_other_class():
    seen = validity_input(
        n=3,
        target=question(DIGITS, 3),
        reached_target=np.array([True, False, False]),
        unchanged=np.array([False, True, False]),
    )
    assert validity(seen).tolist() == [1.0, 0.0, 0.0]
    assert unchanged_rate(seen).tolist() == [0.0, 1.0, 0.0]
    assert other_class_rate(seen).tolist() == [0.0, 0.0, 1.0]


def test_without_classes_nothing_becomes_another_class():
    seen = validity_input(reached_target=np.array([True, False]), unchanged=np.array([False, True]))
    assert other_class_rate(seen) is None
    assert unchanged_rate(seen).tolist() == [0.0, 1.0]


def test_a_value_is_no_confidence():
    assert gains(BNP, [[5, 0, 0, 0]], [[0, 0, 0, 0]]) is None
    assert confidence_gain.needs.endswith("the prediction is a value and no probability")


def test_unchanged_images_gain_nothing():
    assert gains(FOUR, [[1, 2, 3, 4]], [[1, 2, 3, 4]]).tolist() == [0.0]


def test_the_gain_is_in_target_probability():
    three = float(np.log(3))
    found = gains(FOUR, [[0] * 4, [three, 0, 0, 0]], [[0, three, 0, 0], [0] * 4], target=1)
    assert found.tolist() == pytest.approx([1 / 2 - 1 / 4, 1 / 4 - 1 / 6])


def test_without_classes_absence_is_the_target():
    three = float(np.log(3))
    before, after = [[9, three, 0, 0]], [[9, -three, 0, 0]]
    assert gains(TWO, before, after, source=1, target=1).tolist() == pytest.approx([0.5])
    assert gains(TWO, after, before, source=1, target=1).tolist() == pytest.approx([-0.5])
    assert gains(BINARY, before, after).tolist() == [0.0]


def test_the_model_sees_bounded_batches():
    seen = []

    class Watched(nn.Flatten):
        def forward(self, x):
            seen.append(len(x))
            assert not torch.is_grad_enabled()
            return super().forward(x)

    n = 300
    known = {"image": torch.zeros(n, 1, 2, 2), "counterfactual": torch.ones(n, 1, 2, 2)}
    model = Model(Watched(), nn.Identity(), nn.Identity())
    target = question(FOUR, n)
    found = confidence_gain(validity_input(n, model=model, target=target, **known))
    assert found.tolist() == [0.0] * n
    assert max(seen) <= 128
    assert sum(seen) == 2 * n


class Corner(nn.Module):
    """One output: the sum of the first `n` pixels of the first row."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, 0, : self.n].sum(2)


def redundant(changes: list[float], needed: int = 1, level: float = 1.0) -> float:
    """Redundancy where the first pixels of a white image fall by so much, a region each."""
    before = torch.full((1, 1, 8, 8), level)
    after = before.clone()
    after[0, 0, 0, : len(changes)] -= torch.tensor(changes)
    model = Model(Corner(needed), nn.Identity(), nn.Identity())
    seen = validity_input(1, 8, model=model, base=before, counterfactual=after)
    return float(redundancy(seen))


def test_redundancy_by_hand():
    assert redundant([1.5]) == 0  # all of it is needed
    assert redundant([1.5, 0.5]) == pytest.approx(1 / 4)
    assert redundant([1.5, 3.0]) == pytest.approx(2 / 3)
    assert redundant([1.9, 0.3, 0.3], needed=2) == pytest.approx(0.3 / 2.5)  # one of two is enough
    assert redundant([1.9, 0.3], needed=2) == 0
    assert redundant([1.0, 0.5], level=-0.5) == 1  # the reconstruction is there already


def test_only_flips_can_be_redundant():
    assert np.isnan(redundant([0.5, 0.5]))
    assert np.isnan(redundant([0.0], level=-0.5))


def test_redundancy_asks_only_of_flips_and_changes():
    before = torch.full((3, 1, 8, 8), 1.0)
    after = before.clone()
    after[0, 0, 0, :2] -= torch.tensor([1.5, 0.5])  # flips by two regions
    after[1, 0, 0, :2] -= 0.1  # does not
    after[2, 0, 0, 0] -= 1.5  # flips by one
    asked: list[int] = []
    corner = Corner(1)
    corner.register_forward_hook(lambda _net, inputs, _out: asked.append(len(inputs[0])))
    model = Model(corner, nn.Identity(), nn.Identity())
    known = {"model": model, "base": before, "counterfactual": after}
    values = redundancy(validity_input(3, 8, **known, target=question(BINARY, 3)))
    assert values.tolist() == pytest.approx([0.25, np.nan, 0.0], nan_ok=True)
    assert sum(asked) == 3 + 3  # all once, then each region of a flip


def test_redundancy_is_per_image():
    rng = np.random.default_rng(0)
    before, after = rng.uniform(-1, 1, (2, 9, 1, 20, 20)).astype(np.float32)
    model = Model(Corner(20), nn.Identity(), nn.Identity())
    known = {"model": model, "base": before, "counterfactual": after}
    whole = redundancy(validity_input(9, 20, **known, target=question(BINARY, 9)))
    assert 0 < whole.nan_to_num().max() <= 1
    for i in range(9):
        single = {"base": before[i : i + 1], "counterfactual": after[i : i + 1]}
        alone = redundancy(validity_input(1, 20, model=model, **single, target=question(BINARY, 1)))
        assert alone.tolist() == pytest.approx(whole[i : i + 1].tolist(), nan_ok=True)


def test_diversity_counts_pairs_that_flip():
    """The first output decides; of images at 0, -1, -0.5 and 1 all but the last flip."""
    level = [np.full((1, 1, 2, 2), value, np.float32) for value in (0.0, -1.0, -0.5, 1.0)]
    target = question(Task("binary", ("mass",)), 1)
    target = dataclasses.replace(target, threshold=torch.tensor([0.6]))
    model = Model(nn.Flatten(), nn.Identity(), nn.Identity())

    def of(*images: np.ndarray) -> float:
        known = {"counterfactual": images[0], "alternatives": np.stack(images[1:], axis=1)}
        return diversity(validity_input(1, model=model, target=target, **known)).item()

    assert of(*level) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert np.isnan(of(level[0], level[3]))
