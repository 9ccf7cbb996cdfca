from __future__ import annotations

import math

import pytest
import torch
from gvr_generators.ae import Ae
from gvr_generators.dcgan import Decoder, Features
from gvr_generators.pca import Pca
from gvr_generators.vae import WARM_START, Vae
from gvr_generators.wgan_gp import WganGp, average, critic_loss
from safetensors.torch import load_file
from small_parts import Interrupted, Killed, Rack, context, same, seeded, weights
from torch import nn

import gvr_bench.api as gvr

TINY = gvr.ImageSpec(3, 16)


def wgan(**settings: object) -> WganGp:
    small = {"latent_dim": 4, "width": 4, "iterations": 6, "batch": 4, "averaging": 0.5}
    return WganGp(WganGp.Settings(**{**small, **settings}))


def vae(**settings: object) -> Vae:
    small = {"channels": 4, "width": 4, "steps": 6, "batch": 4}
    return Vae(Vae.Settings(**{**small, **settings}))


def ae(**settings: object) -> Ae:
    small = {"channels": 4, "width": 4, "steps": 6, "batch": 4}
    return Ae(Ae.Settings(**{**small, **settings}))


each = pytest.mark.parametrize("make", [wgan, vae, ae])


def noise_images(n: int = 12, spec: gvr.ImageSpec = TINY) -> Rack:
    rng = torch.Generator().manual_seed(1)
    return Rack(torch.rand(n, spec.channels, spec.size, spec.size, generator=rng) * 2 - 1)


def train(generator: gvr.Generator, ctx: gvr.Context, *, start: int = 0) -> nn.Module:
    net = seeded(lambda: generator.build(TINY), start)
    generator.fit(net, noise_images(), ctx)
    return net


@pytest.mark.parametrize("size", [0, 1, 4, 7, 12, 28, 100, 1024])
def test_unsupported_size_is_named(size):
    with pytest.raises(
        gvr.UsageError, match=rf"8, 16, 32, 64, 128, 256 or 512 pixels, not {size};"
    ):
        wgan().build(gvr.ImageSpec(1, size))


@pytest.mark.parametrize("make", [vae, ae])
@pytest.mark.parametrize(("size", "reduction"), [(28, 8), (32, 6), (100, 8)])
def test_unfit_reduction_is_named(make, size, reduction):
    with pytest.raises(gvr.UsageError, match=f"{size} and {reduction} are not"):
        make(reduction=reduction).build(gvr.ImageSpec(1, size))


@each
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_images_have_declared_shape_and_range(make, size, channels):
    net = seeded(lambda: make().build(gvr.ImageSpec(channels, size)))
    assert net.latent_dim == (4 if make is wgan else 4 * (size // 8) ** 2)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        images = net(10 * torch.randn(3, net.latent_dim, generator=rng))
    assert images.shape == (3, channels, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.std() > 0.01


@pytest.mark.parametrize("make", [vae, ae])
def test_few_images_are_few_steps(make, monkeypatch):
    """Two passes over 12 images in batches of 4."""
    monkeypatch.setattr("gvr_bench.core.context.LEAST_STEPS", 1)
    shorter, capped = make(steps=6), make(steps=90, epochs=2)
    assert same(*(weights(train(generator, context())) for generator in (shorter, capped)))


@pytest.mark.parametrize(
    ("channels", "steps", "begins"), [(1, 90, True), (3, 90, False), (1, 6, False)]
)
def test_few_grey_images_begin_with_shipped_weights(channels, steps, begins, monkeypatch):
    monkeypatch.setattr("gvr_bench.core.context.LEAST_STEPS", 1)
    spec, ctx = gvr.ImageSpec(channels, 16), context()
    generator = Vae(
        Vae.Settings(steps=steps, epochs=2, batch=4, warm_start=True, learning_rate=1e-9)
    )
    net = seeded(lambda: generator.build(spec))
    generator.fit(net, noise_images(spec=spec), ctx)
    shipped, own = load_file(WARM_START), weights(net)
    near = [torch.allclose(own[name], shipped[name].float(), atol=1e-6) for name in own
            if own[name].shape == shipped[name].shape]  # fmt: skip
    assert all(near) == begins
    assert ("takes 6 steps, not 90, for it has 12 images" in ctx.note) == begins


@pytest.mark.parametrize("make", [vae, ae])
def test_latents_keep_their_place(make):
    net = seeded(lambda: make(width=8).build(gvr.ImageSpec(1, 64)))
    z = torch.randn(1, net.latent_dim, generator=torch.Generator().manual_seed(0))
    moved = z.unflatten(1, net.latent_shape).clone()
    moved[:, :, 1, 6] += 1
    with torch.no_grad():
        change = (net(moved.flatten(1)) - net(z))[0, 0].abs()
    assert change[8:16, 48:56].mean() > 0
    far = change.clone()
    far[:32, 32:] = 0
    assert far.max() == 0


def test_autoencoders_bring_their_inference_network():
    x = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for make in (vae, ae):
        net = seeded(lambda make=make: make().build(gvr.ImageSpec(1, 32))).eval()
        with torch.no_grad():
            assert net.inference(x).shape == (3, net.latent_dim)


def correlated_images(n: int = 300) -> Rack:
    """Images of three numbers each."""
    rng = torch.Generator().manual_seed(2)
    factors = torch.randn(n, 3, generator=rng) * torch.tensor([0.3, 0.2, 0.1])
    axes = torch.linalg.qr(torch.randn(64, 3, generator=rng)).Q
    return Rack((factors @ axes.T).view(n, 1, 8, 8))


def test_pca_restores_what_it_spans():
    data = correlated_images()
    net = Pca(Pca.Settings(latent_dim=3)).build(gvr.ImageSpec(1, 8))
    Pca(Pca.Settings(latent_dim=3)).fit(net, data, context())
    with torch.no_grad():
        z = net.inference(data.pixels)
        torch.testing.assert_close(net(z), data.pixels, atol=1e-4, rtol=0)
        torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(z.T @ z / (len(z) - 1), torch.eye(3), atol=1e-3, rtol=0)


def test_pca_needs_as_many_images_as_components():
    pca = Pca(Pca.Settings(latent_dim=20))
    with pytest.raises(gvr.DataError, match="pca:latent_dim=12"):
        pca.fit(pca.build(TINY), noise_images(12), context())


def variances(net: nn.Sequential, x: torch.Tensor) -> list[float]:
    """Variance of the activations after each SELU."""
    found = []
    with torch.no_grad():
        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.SELU):
                found.append(float(x.var()))
    return found


def test_decoder_activations_keep_their_scale():
    net = seeded(lambda: Decoder(gvr.ImageSpec(1, 128), 100, 8))
    z = torch.randn(32, 100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = net.first(z).unflatten(1, (-1, 4, 4))
    found = variances(net.layers, first)
    assert len(found) == 5
    assert all(0.4 < variance < 2 for variance in found), found


def test_critic_activations_keep_their_scale():
    net = seeded(lambda: Features(gvr.ImageSpec(1, 128), 1, 8))
    x = torch.randn(16, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    found = variances(net.layers, x)
    assert len(found) == 5
    assert all(0.3 < variance < 2 for variance in found), found


class Slope(nn.Module):
    """A critic that is linear: score = <direction, x>."""

    def __init__(self, direction: list[float]) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.tensor(direction))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.direction[:, None]


def two_pixel(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 1, 1, 2)


def test_linear_critic_loss_is_exact():
    # Slope (3, 4) has norm 5: penalty 10 (5 - 1)^2 = 160. Scores: real 3 and 4, fake 7 and 0.
    real, fake = two_pixel((1, 0), (0, 1)), two_pixel((1, 1), (0, 0))
    mix = torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1)
    loss, distance = critic_loss(Slope([3.0, 4.0]), real, fake, mix, 10.0, context())
    assert distance.item() == pytest.approx((3 + 4) / 2 - (7 + 0) / 2)
    assert loss.item() == pytest.approx(160 - 0)


def test_distance_is_real_minus_fake_score():
    real, fake = two_pixel((2, 0), (4, 0)), two_pixel((-1, 9), (0, 9))
    mix = torch.full((2, 1, 1, 1), 0.5)
    loss, distance = critic_loss(Slope([1.0, 0.0]), real, fake, mix, 10.0, context())
    assert distance.item() == pytest.approx(3.5)
    assert loss.item() == pytest.approx(-3.5)  # a slope of norm 1 costs nothing


def test_penalty_has_gradients_for_weights():
    critic = Slope([3.0, 4.0])
    x = two_pixel((0, 0))
    loss, _ = critic_loss(critic, x, x, torch.zeros(1, 1, 1, 1), 10.0, context())
    loss.backward()
    # d/dw 10 (|w| - 1)^2 = 20 (|w| - 1) w / |w| = 80 (3, 4) / 5
    assert critic.direction.grad.tolist() == pytest.approx([48.0, 64.0])


class Square(nn.Module):
    """A critic whose slope depends on where it is: score = x^2 / 2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().flatten(1).sum(1, keepdim=True) / 2


def test_penalty_is_between_real_and_fake():
    # The slope of x^2 / 2 is x; a quarter of the way from 2 to 6 it is 3: (3 - 1)^2 = 4.
    real, fake = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 6.0)
    loss, distance = critic_loss(
        Square(), real, fake, torch.full((1, 1, 1, 1), 0.25), 1.0, context()
    )
    assert distance.item() == pytest.approx(2 - 18)
    assert loss.item() == pytest.approx(4 + 16)


def test_average_moves_by_its_decay():
    mean, latest = nn.Linear(2, 1), nn.Linear(2, 1)
    nn.init.constant_(mean.weight, 1.0)
    nn.init.constant_(latest.weight, 5.0)
    average(mean, latest, 0.75)
    assert mean.weight.tolist() == [[2.0, 2.0]]
    average(mean, latest, 0.0)
    assert same(weights(mean), weights(latest))


@each
def test_same_seed_gives_equal_weights(make):
    short = {"iterations": 3} if make is wgan else {"steps": 3}
    nets = [weights(train(make(**short), context(seed))) for seed in (5, 5, 6)]
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


@each
def test_resumed_training_gives_equal_weights(make, tmp_path):
    checkpoints = Interrupted(tmp_path, at=4)
    whole, killed, resumed = context(), *(context(checkpoints=checkpoints) for _ in range(2))
    expected = train(make(), whole)
    with pytest.raises(Killed):
        train(make(), killed)
    again = train(make(), resumed, start=99)
    assert resumed.history == whole.history
    assert same(weights(again), weights(expected))


def two_modes(n: int = 64) -> Rack:
    """Left half white or right half white, three to one."""
    images = torch.full((n, 1, 8, 8), -0.8)
    for i in range(n):
        half = slice(4, 8) if i % 4 == 0 else slice(0, 4)
        images[i, :, :, half] = 0.8
    return Rack(images)


@pytest.mark.parametrize(
    "generator",
    [
        wgan(iterations=200, batch=16, width=8, learning_rate=2e-3, shift=0.0, averaging=0.9),
        vae(steps=500, batch=32, width=8, learning_rate=3e-3, shift=0.0, sigma=1.0),
    ],
    ids=["wgan-gp", "vae"],
)
def test_training_approaches_mean_image(generator):
    data = two_modes()
    net = seeded(lambda: generator.build(gvr.ImageSpec(1, 8)))
    z = torch.randn(256, net.latent_dim, generator=torch.Generator().manual_seed(0))

    def distance() -> float:
        with torch.no_grad():
            return float((net(z).mean(0) - data.pixels.mean(0)).abs().mean())

    before = distance()
    generator.fit(net, data, context())
    assert distance() < 0.6 * before


@pytest.mark.parametrize("make", [vae, ae])
def test_mostly_black_images_are_restored(make):
    """The decoder does not saturate at black, where it would stay."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.full((256, 1, 32, 32), -1.0)
    corners = torch.randint(26, (256, 2), generator=rng)
    for image, (row, column) in zip(pixels, corners, strict=True):
        image[:, row : row + 6, column : column + 6] = 1
    generator = make(steps=100, batch=32, width=16, channels=8)
    net = seeded(lambda: generator.build(gvr.ImageSpec(1, 32)))
    generator.fit(net, Rack(pixels), context())
    with torch.no_grad():
        error = (net(net.inference(pixels)) - pixels).square().mean()
    assert error < 0.5 * (pixels.mean(0) - pixels).square().mean()


@each
def test_losses_are_logged_and_finite(make):
    ctx = context()
    train(make(), ctx)
    assert [row["step"] for row in ctx.history] == [0.0, 5.0]
    assert all(math.isfinite(value) for row in ctx.history for value in row.values())
