"""Normalisation folded into convolutions: the same outputs, or the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gvr_torch_models.folding import Folding, is_maximum, is_relu, slope
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode


class Shared(nn.Module):
    """One convolution with two normalisations, which it cannot take up both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(1, 4, 3), *normalisations(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(self.conv(x)), self.second(self.conv(x))
        return torch.cat([a, b], 1).mean((2, 3))


class Branching(nn.Module):
    """A path that depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x if x.mean() > 0 else -x)
        return out


def normalisations(*channels: int) -> list[nn.BatchNorm2d]:
    layers = [nn.BatchNorm2d(n) for n in channels]
    for layer in layers:
        layer.running_mean = torch.randn(layer.num_features)
        layer.running_var = torch.rand(layer.num_features) + 0.1
    return layers


def small() -> nn.Sequential:
    (first,) = normalisations(4)
    layers = nn.Conv2d(1, 4, 3), first, nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten()
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 1, 8, 8)


@torch.no_grad()
def test_folded_network_has_the_same_outputs(x: Tensor) -> None:
    net, folding = small(), Folding()
    copy = folding.of(net, x)
    assert copy is not net
    called = {node.target for node in copy.graph.nodes if node.op == "call_module"}
    assert "1" not in called  # the normalisation
    assert torch.allclose(copy(x), net(x), atol=1e-5)
    assert folding.of(net, x) is copy


class Forking(nn.Module):
    """A convolution whose outputs are read before and behind the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 4, 3), nn.ReLU()
        (self.norm,) = normalisations(4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm(self.conv(x))
        return (maps - self.relu(maps)).mean((2, 3))


@torch.no_grad()
def test_activation_overwrites_only_what_nothing_else_reads(x: Tensor) -> None:
    net = small()
    before = x.clone()
    assert "inplace = True" in Folding().of(net, x).code
    forking = Forking().eval().requires_grad_(False)
    copy = Folding().of(forking, x)
    assert copy is not forking
    assert "inplace" not in copy.code
    assert torch.allclose(copy(x), forking(x), atol=1e-5)
    assert torch.equal(x, before)


def test_gradients_of_the_copy_are_those_of_the_network(x: Tensor) -> None:
    net = small()
    copy = Folding().of(net, x)
    assert copy is not net
    assert torch.allclose(slope(copy, x), slope(net, x), rtol=1e-4, atol=1e-5)


def test_weights_in_training_stay_unfolded(x: Tensor) -> None:
    net = small().requires_grad_(True)
    assert Folding().of(net, x) is net
    with torch.no_grad():
        assert Folding().of(net, x) is not net


@torch.no_grad()
@pytest.mark.parametrize("hook", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_hooks_see_the_network_itself(hook: str, x: Tensor) -> None:
    net, folding = small(), Folding()
    assert folding.of(net, x) is not net
    getattr(net[0], f"register_{hook}_hook")(lambda *call: None)
    assert folding.of(net, x) is net


def test_rules_for_functions_see_the_network_itself(x: Tensor) -> None:
    class Rules(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return function(*args, **(kwargs or {}))

    net, folding = small(), Folding()
    assert folding.of(net, x) is not net
    with Rules():
        assert folding.of(net, x) is net


class Functional(nn.Module):
    """Maxima of a ReLU, both called as functions, and once with a second reader."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 2)
        (self.norm,) = normalisations(4)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.max_pool2d(F.relu(self.norm(self.first(x))), 2)
        maps = torch.relu(self.second(maps))
        return F.max_pool2d(maps, 2).mean((2, 3)) + maps.mean((2, 3))


def pooled() -> nn.Module:
    return nn.Sequential(small()[:3], nn.MaxPool2d(3), nn.Flatten())


def order(copy: fx.GraphModule) -> str:
    """Its maxima (m) and its ReLUs (r), in the order in which they are computed."""
    modules, nodes = dict(copy.named_modules()), copy.graph.nodes
    kinds = ["m" * is_maximum(node, modules) + "r" * is_relu(node, modules) for node in nodes]
    return "".join(kinds)


@pytest.mark.parametrize(("network", "expected"), [(pooled, "mr"), (Functional, "mrrm")])
def test_maxima_come_before_the_activation(
    network: Callable[[], nn.Module], expected: str, x: Tensor
) -> None:
    net = network().eval().requires_grad_(False)
    copy = Folding().of(net, x)
    assert order(copy) == expected
    assert torch.allclose(copy(x), net(x), atol=1e-5)
    assert torch.allclose(slope(copy, x), slope(net, x), rtol=1e-4, atol=1e-5)


class WithoutSlope(nn.Module):
    """A part that passes no gradient, which a trace does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x.abs().mean((1, 2, 3))
        out: Tensor = self.net(x) * scale[:, None]
        return out


@torch.no_grad()
@pytest.mark.parametrize("network", [Shared, Branching, WithoutSlope])
def test_unfoldable_network_stays_as_it_is(network: type[nn.Module], x: Tensor) -> None:
    net = network().eval().requires_grad_(False)
    assert Folding().of(net, x) is net


@torch.no_grad()
def test_changed_weights_are_folded_again(x: Tensor) -> None:
    net, folding = small(), Folding()
    before = folding.of(net, x)(x)
    net.load_state_dict(small().state_dict())
    after = folding.of(net, x)(x)
    assert torch.allclose(after, net(x), atol=1e-5)
    assert not torch.allclose(before, after, atol=1e-2)
