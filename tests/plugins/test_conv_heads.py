from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gvr_heads.conv import Cnn, Conv
from small_parts import Rack, context, same, seeded, weights
from torch import Tensor, nn

import gvr_bench.api as gvr

BINARY = gvr.Task("binary", ("spot",))
TWO = gvr.Task("multilabel", ("left", "right"))
SIDE, CHANNELS = 4, 2


def conv(**settings: object) -> Conv:
    small = {"channels": CHANNELS, "width": 8, "steps": 60, "batch": 32, "checks": 3}
    return Conv(Conv.Settings(**{**small, **settings}))


def spots(n: int, seed: int) -> gvr.Latents:
    """Maps of noise; half have a spot in one channel at any place."""
    rng = torch.Generator().manual_seed(seed)
    z = 0.3 * torch.randn(n, CHANNELS, SIDE, SIDE, generator=rng)
    label = torch.arange(n) % 2
    row, column = torch.randint(0, SIDE, (2, n), generator=rng)
    z[torch.arange(n), 0, row, column] += 3.0 * label
    return gvr.Latents(z.flatten(1), label[:, None].float())


def fitted(head: Conv) -> nn.Module:
    net = seeded(lambda: head.build(CHANNELS * SIDE**2, BINARY))
    head.fit(net, spots(400, 0), spots(100, 1), BINARY, context())
    return net


def test_spot_is_seen_at_any_place():
    net, test = fitted(conv(radius=0.0, steps=150, learning_rate=1e-2)), spots(200, 2)
    with torch.no_grad():
        right = ((net(test.z) > 0).float() == test.targets).float().mean()
    assert right > 0.95


def test_same_seed_gives_equal_weights():
    first, again = (weights(fitted(conv(steps=3))) for _ in range(2))
    assert same(first, again)


def test_few_images_are_few_steps(monkeypatch):
    """Two passes over 400 latents in batches of 32."""
    monkeypatch.setattr("gvr_bench.core.context.LEAST_STEPS", 1)
    shorter, capped = conv(steps=25), conv(steps=90, epochs=2)
    assert same(*(weights(fitted(head)) for head in (shorter, capped)))


@pytest.mark.parametrize("latent_dim", [100, 8 * 15, 7])
def test_latent_without_places_is_named(latent_dim):
    with pytest.raises(gvr.UsageError, match=f"{latent_dim} numbers; use --generator vae"):
        Conv(Conv.Settings()).build(latent_dim, BINARY)


def test_radius_grows_over_the_ramp():
    head = conv(radius=0.5, ramp=0.5, clean=0.0, passes=3)
    net = seeded(lambda: head.build(CHANNELS * SIDE**2, BINARY))
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    z, targets = spots(20, 0).z, spots(20, 0).targets
    largest = 0.5 * float(net[0].radius)
    for done, length in ((0.0, 0.0), (0.25, largest / 2), (0.5, largest), (1.0, largest)):
        head.loss(net, z, targets, BINARY, done)
        moved = (seen[-1] - z).norm(dim=1)
        assert moved.max() <= length + 1e-5
        assert moved.mean() >= 0.5 * length


def test_adversarial_training_resists_its_adversary():
    test = spots(200, 2)
    losses = []
    for radius in (0.0, 0.3):
        net = fitted(conv(radius=radius, steps=150))
        adversary = conv(radius=0.3, ramp=0.0, clean=0.0)
        losses.append(adversary.loss(net, test.z, test.targets, BINARY, 1.0).item())
    assert losses[1] < losses[0]


def test_differences_between_images_reach_the_output():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 32, 32, generator=rng) + 0.1 * torch.rand(64, 1, 32, 32, generator=rng)
    net = seeded(lambda: Cnn(Cnn.Settings()).build(0, BINARY))
    net[0].fit(x)
    with torch.no_grad():
        assert net(x).std() > 0.1


@pytest.mark.parametrize(("size", "smaller"), [(8, 8), (64, 64), (95, 95), (128, 64), (256, 64)])
def test_large_images_are_averaged(size, smaller):
    x = torch.rand(2, 1, size, size)
    net = Cnn(Cnn.Settings(width=4)).build(0, BINARY)
    torch.testing.assert_close(net[1](x), F.adaptive_avg_pool2d(x, smaller))


def test_fitted_cnn_predicts_each_image_alone():
    train = Rack(torch.rand(40, 1, 16, 16), targets=(torch.arange(40) % 2)[:, None].float())
    head = Cnn(Cnn.Settings(width=4, steps=4, batch=8, checks=2))
    net = seeded(lambda: head.build(0, BINARY))
    head.fit(net, train, train, BINARY, context())
    with torch.no_grad():
        torch.testing.assert_close(net(train.pixels)[:1], net(train.pixels[:1]))


def test_cnn_learns_from_labelled_images():
    rng = torch.Generator().manual_seed(0)
    targets = torch.bernoulli(torch.full((300, 2), 0.5), generator=rng)
    pixels = 0.2 * torch.randn(300, 1, 16, 16, generator=rng)
    pixels[:, 0, 4:8, 2:6] += 0.8 * targets[:, :1, None]
    pixels[:, 0, 4:8, 10:14] += 0.8 * targets[:, 1:, None]
    targets[::10] = torch.nan  # not labelled
    train, test = (
        Rack(pixels[:200], targets=targets[:200]),
        Rack(pixels[200:], targets=targets[200:]),
    )
    settings = {"width": 4, "steps": 60, "batch": 32, "shift": 0.0, "checks": 3}
    head = Cnn(Cnn.Settings(**settings))
    net = seeded(lambda: head.build(0, TWO))
    head.fit(net, train, test, TWO, context())
    known = ~targets[200:].isnan().any(1)
    with torch.no_grad():
        right = ((net(pixels[200:]) > 0).float() == targets[200:])[known].float().mean()
    assert right > 0.9
