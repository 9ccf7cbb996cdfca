"""Networks that are randomised from their output down, and the maps of such networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gvr_bench.metrics.cascade import DEPTHS, METRICS, CascadeInput
from gvr_bench.pipeline.steps.perturbed_explanations import (
    randomised_from_output,
    shuffle_constant_weights,
)


def network(*weights: float) -> nn.Module:
    """One scalar layer per weight, each behind a layer without weights."""
    layers = []
    for weight in weights:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, weight)
        layers += [layer, nn.Identity()]
    return nn.Sequential(*layers).requires_grad_(False)


def weights_of(networks: list[nn.Module]) -> list[float]:
    return [float(w) for net in networks for w in net.state_dict().values()]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.25, [2, 3, 5, 10]),
        (0.5, [2, 3, 10, 10]),
        (0.6, [2, 10, 10, 10]),  # rounded up
        (1.0, [10, 10, 10, 10]),
    ],
)
def test_modules_change_from_the_output(share: float, expected: list[float]) -> None:
    trained = [network(2, 3), network(5, 7)]  # an encoder, and a head behind it
    changed = randomised_from_output(trained, [network(10, 10), network(10, 10)], share)
    assert weights_of(changed) == expected
    assert weights_of(trained) == [2, 3, 5, 7]
    assert (changed[0] is trained[0]) == (share <= 0.5)


def test_running_statistics_are_randomised() -> None:
    trained, fresh = (nn.BatchNorm2d(2).requires_grad_(False) for _ in "ab")
    trained.running_mean += 5
    (changed,) = randomised_from_output([trained], [fresh], 1)
    assert changed.running_mean.tolist() == [0, 0]
    assert trained.running_mean.tolist() == [5, 5]


def test_weights_from_zero_are_shuffled() -> None:
    trained, fresh = nn.Linear(16, 1).requires_grad_(False), nn.Linear(16, 1).requires_grad_(False)
    trained.weight.copy_(torch.arange(16.0)[None])
    drawn = fresh.weight.clone()
    shuffle_constant_weights(fresh, trained, rng())
    assert torch.equal(fresh.weight, drawn)
    nn.init.zeros_(fresh.weight)
    bias = fresh.bias.clone()
    shuffle_constant_weights(fresh, trained, rng())
    assert fresh.weight.ravel().tolist() != trained.weight.ravel().tolist()
    assert sorted(fresh.weight.ravel().tolist()) == list(range(16))
    assert torch.equal(fresh.bias, bias)


@pytest.mark.parametrize(("share", "slope"), [(0.25, 30), (0.5, 6), (0.75, 20), (1, 100)])
def test_gradients_follow_the_random_weights(share: float, slope: float) -> None:
    trained, fresh = [network(2, 3, 5), network(7)], [network(10, 10, 1), network(1)]
    x = torch.ones(1, 1, requires_grad=True)
    net = nn.Sequential(*randomised_from_output(trained, fresh, share))
    (gradient,) = torch.autograd.grad(net(x).sum(), x)
    assert gradient.item() == slope


def test_known_cascade_of_similarities() -> None:
    """A map that stays, is negated, is gone, and is not explained again."""
    a = torch.zeros(1, 16, 16)
    a[0, 2:8, 2:8] = 1
    other = torch.zeros(1, 16, 16)
    other[0, 9:15, 9:15] = 1
    maps = dict(zip(DEPTHS, (a, -2 * a, other, torch.full_like(a, torch.nan)), strict=True))
    same, negated, different, missing = (
        metric(CascadeInput(a, **maps)).item() for metric in METRICS
    )
    assert (same, negated) == (pytest.approx(1), pytest.approx(1))
    assert different < 0.8
    assert missing != missing
