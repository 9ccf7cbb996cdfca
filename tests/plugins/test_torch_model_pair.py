from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gvr_torch_models.encoder import TorchEncoder
from gvr_torch_models.generator import TorchGenerator
from small_parts import Rack, context
from torch import nn

import gvr_bench.api as gvr

IMAGE = gvr.ImageSpec(1, 8)
PAIR = """
import torch
from torch import nn

class Decoder(nn.Module):
    latent_dim = 6

    def __init__(self, last="Sigmoid", size=8, flat=False, scale=1.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, size * size), getattr(nn, last)())
        self.size, self.flat, self.scale = size, flat, scale

    def forward(self, z):
        y = self.scale * self.layers(z)
        return y if self.flat else y.unflatten(1, (1, self.size, self.size))

def nameless():
    net = Decoder()
    return net.layers

def maps():
    return nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 2, 1),
                         nn.Sigmoid())

class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 12)

    def forward(self, x):
        return self.layer(x.flatten(1)).chunk(2, dim=1)

def encoder(outputs=6, maps=False, inside=1.0):
    last = [nn.Unflatten(1, (outputs, 1, 1))] if maps else []
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs), *last)

def one_at_a_time():
    return nn.Sequential(nn.Flatten(0), nn.Linear(64, 6))
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"pair_of_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(PAIR)
    return name


def generator(module: str, factory: str, **given: Any) -> TorchGenerator:
    return TorchGenerator(TorchGenerator.Settings(factory=f"{module}:{factory}", **given))


def encoder(module: str, factory: str, **given: Any) -> TorchEncoder:
    return TorchEncoder(TorchEncoder.Settings(factory=f"{module}:{factory}", **given))


@pytest.mark.parametrize(
    ("factory", "given", "said"),
    [
        ("nameless", {}, r"the size of its latents is unknown; set latent_dim="),
        ("Decoder", {"latent_dim": 7}, r"fails for 3 of 7: RuntimeError"),
        ("Decoder", {"arguments": {"size": 16}}, r"returns 3 x 1 x 16 x 16 for 3 of 6, not "
                                                 r"3 x 1 x 8 x 8"),
        ("Decoder", {"arguments": {"last": "Tanh", "scale": 3}}, r"returns values from -.* to .*, "
                    r"many outside low=0 to high=1; set both"),
        ("Decoder", {"arguments": {"scale": float(2**200)}}, "returns NaN or infinity"),
        ("maps", {"latent_dim": 6}, r"fails for 3 of 6"),
    ],
)  # fmt: skip
def test_unfit_decoder_is_refused(module, factory, given, said) -> None:
    with pytest.raises(gvr.UsageError, match=said):
        generator(module, factory, **given).build(IMAGE)


def test_contradictory_latent_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape 6\+1\+1 has 6 numbers and latent_dim is 5"):
        TorchGenerator.Settings(factory="a:b", shape="6+1+1", latent_dim=5)


@pytest.mark.parametrize(
    ("factory", "given"),
    [
        ("Decoder", {}),
        ("Decoder", {"arguments": {"flat": True}}),
        ("nameless", {"latent_dim": 6}),
        ("maps", {"shape": "6+1+1"}),
        ("Decoder", {"arguments": {"last": "Tanh"}, "low": -1}),
    ],
)
def test_decoder_output_is_mapped_to_range(module, factory, given) -> None:
    made = generator(module, factory, **given)
    net = made.build(IMAGE)
    assert net.latent_dim == 6
    x = net(100 * torch.randn(20, 6))
    assert x.shape == (20, 1, 8, 8)
    assert x.min() < -0.5
    assert x.max() > 0.5
    assert x.abs().max() <= 1


def test_inverted_range_is_supported(module) -> None:
    """One whose white is 0 and black 1."""
    made = generator(module, "Decoder")
    upside = generator(module, "Decoder", low=1, high=0)
    one, other = (m.build(IMAGE) for m in (made, upside))
    other.load_state_dict(one.state_dict())
    z = torch.randn(3, 6)
    assert torch.allclose(one(z), -other(z), atol=1e-6)


@pytest.mark.parametrize(
    ("factory", "given", "said"),
    [
        ("encoder", {"arguments": {"outputs": 5}}, r"returns 3 x 5 for 3 of 1 x 8 x 8, not 3 x 6"),
        ("encoder", {"size": 16}, r"fails for 3 of 1 x 8 x 8: RuntimeError"),
        ("Variational", {}, r"returns tuple; select a tensor"),
        ("one_at_a_time", {}, r"fails for 3 of 1 x 8 x 8"),
    ],
)
def test_unfit_encoder_is_refused(module, factory, given, said) -> None:
    decoder = generator(module, "Decoder").build(IMAGE)
    with pytest.raises(gvr.UsageError, match=said):
        encoder(module, factory, **given).build(IMAGE, decoder)


@pytest.mark.parametrize(
    ("factory", "given"),
    [("encoder", {}), ("encoder", {"arguments": {"maps": True}}), ("Variational", {"part": 0})],
)
def test_fit_restores_encoder_and_decoder(module, factory, given) -> None:
    images = Rack(torch.rand(4, 1, 8, 8) * 2 - 1)
    decoder, coder = generator(module, "Decoder"), encoder(module, factory, **given)
    nets: list[list[nn.Module]] = []
    for _ in range(2):
        net = decoder.build(IMAGE)
        eyes = coder.build(IMAGE, net)
        nets.append([net, eyes])
        random = eyes(images.pixels)
        decoder.fit(net, images, context(seed=5))
        coder.fit(eyes, net, images, context(seed=6))
        assert not torch.allclose(eyes(images.pixels), random)
    (g, e), (other_g, other_e) = nets
    assert torch.equal(g(e(images.pixels)), other_g(other_e(images.pixels)))
