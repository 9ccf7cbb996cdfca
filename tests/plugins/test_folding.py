"""Normalisation folded into convolutions: the same outputs, or the network as it is."""

from __future__ import annotations

import pytest
import torch
from gvr_torch_models.folding import Folding
from torch import Tensor, nn


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


def test_gradients_come_from_the_network_itself(x: Tensor) -> None:
    net = small()
    assert Folding().of(net, x) is net


@torch.no_grad()
def test_hooks_see_the_network_itself(x: Tensor) -> None:
    net, folding = small(), Folding()
    folding.of(net, x)
    maps: list[Tensor] = []
    net[0].register_forward_hook(lambda *call: maps.append(call[2]))
    folding.of(net, x)(x)
    assert len(maps) == 1


@torch.no_grad()
@pytest.mark.parametrize("network", [Shared, Branching])
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
