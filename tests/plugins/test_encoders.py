from __future__ import annotations

import numpy as np
import pytest
import torch
from gvr_encoders.conv import Conv, blur, hold_out, laplacian_loss
from small_parts import Interrupted, Killed, Painter, Rack, context, frozen, same, seeded, weights
from torch import nn

import gvr_bench.api as gvr


def conv(**settings: object) -> Conv:
    small = {"width": 4, "steps": 60, "batch": 16, "shift": 0.0, "learning_rate": 3e-3}
    return Conv(Conv.Settings(**{**small, **settings}))


def painter(channels: int = 1) -> nn.Module:
    return frozen(seeded(lambda: Painter(channels)))


def paintings(generator: nn.Module, n: int = 64) -> Rack:
    z = torch.randn(n, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return Rack(generator(z))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("size", [4, 7])
def test_too_small_images_are_refused(size):
    with pytest.raises(gvr.UsageError, match=f"8 pixels or more, not {size}"):
        conv().build(gvr.ImageSpec(1, size), painter())


def test_single_patient_cannot_be_split():
    with pytest.raises(gvr.DataError, match="two patients or more"):
        hold_out(np.array(["a"] * 9), 0.5, context())


@pytest.mark.parametrize("share", [0.001, 1 / 16, 0.5, 0.99])
@pytest.mark.parametrize("patients", [2, 3, 40])
def test_split_keeps_patients_apart(patients, share):
    ids = np.array([f"p{i % patients}" for i in range(3 * patients)])
    train, held = hold_out(ids, share, context())
    assert len(train) > 0
    assert len(held) > 0
    assert not set(ids[train.numpy()]) & set(ids[held.numpy()])
    assert sorted(torch.cat([train, held]).tolist()) == list(range(len(ids)))


def test_held_out_share_is_respected():
    ids = np.array([f"p{i // 2}" for i in range(160)])  # 80 patients of 2 images
    train, held = hold_out(ids, 1 / 16, context())
    assert (len(train), len(held)) == (150, 10)


def test_split_depends_on_seed_only():
    ids = np.array([f"p{i}" for i in range(50)])
    first, again, other = (hold_out(ids, 0.2, context(seed))[1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("size", [8, 12, 16, 28, 30])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_from_eight_are_encoded(size, channels):
    net = conv().build(gvr.ImageSpec(channels, size), painter())
    assert net(noise(2, channels, size, size)).shape == (2, 4)


def test_equal_images_have_zero_loss():
    x = noise(2, 3, 16, 16)
    assert laplacian_loss(x, x).item() == 0


@pytest.mark.parametrize("size", [4, 8, 9, 30, 32])
def test_constant_difference_is_in_coarsest_level(size):
    x = noise(2, 1, size, size)
    assert laplacian_loss(x, x + 0.25).item() == pytest.approx(0.25, abs=1e-5)


def test_tiny_images_use_mean_absolute_difference():
    a, b = torch.zeros(1, 1, 1, 4), torch.tensor([[[[1.0, -2.0, 3.0, 0.0]]]])
    assert laplacian_loss(a, b).item() == pytest.approx(1.5)


def test_blurred_dot_is_binomial_kernel():
    dot = torch.zeros(1, 1, 7, 7)
    dot[0, 0, 3, 3] = 256
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    assert torch.allclose(blur(dot)[0, 0, 1:6, 1:6], torch.outer(row, row))


def test_loss_is_symmetric_and_homogeneous():
    a, b = noise(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    loss = laplacian_loss(a, b).item()
    assert laplacian_loss(b, a).item() == pytest.approx(loss)
    assert laplacian_loss(2 * a, b).item() == pytest.approx(2 * loss, rel=1e-5)


def test_checkerboard_is_in_finest_level():
    # The kernel 1 4 6 4 1 averages +1 -1 +1 ... to 0 away from the border.
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = (1.0 - 2.0 * ((rows + columns) % 2))[None, None]
    fine = laplacian_loss(board, torch.zeros_like(board)).item()
    assert fine == pytest.approx(1.0, abs=0.05)
    level = torch.ones_like(board)  # equal mean magnitude, nothing fine in it
    half = laplacian_loss((board + level) / 2, torch.zeros_like(board)).item()
    assert half == pytest.approx((1 + 1) / 2, abs=0.05)


def train(encoder: Conv, ctx: gvr.Context, *, start: int = 0) -> nn.Module:
    generator = painter(3)
    net = seeded(lambda: encoder.build(gvr.ImageSpec(3, 16), generator), start)
    encoder.fit(net, generator, paintings(generator), ctx)
    return net


def test_training_lowers_held_out_loss():
    ctx = context()
    train(conv(steps=200), ctx)
    first, last = ctx.history[0], ctx.history[-1]
    assert last["validation_laplacian"] < 0.6 * first["validation_laplacian"]
    assert last["validation_mse"] < 0.6 * first["validation_mse"]


def test_training_leaves_generator_alone():
    generator = painter()
    before = weights(generator)
    encoder = conv(steps=5)
    encoder.fit(
        encoder.build(gvr.ImageSpec(1, 16), generator), generator, paintings(generator), context()
    )
    assert same(weights(generator), before)
    assert all(weight.grad is None for weight in generator.parameters())


def test_prior_keeps_latents_small():
    x = paintings(painter(3)).pixels
    free, held = (train(conv(prior=prior), context())(x).norm().item() for prior in (0.0, 100.0))
    assert held < free / 2


def test_same_seed_gives_equal_weights():
    nets = [weights(train(conv(steps=3), context(seed))) for seed in (5, 5, 6)]
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_resumed_training_gives_equal_weights(tmp_path):
    checkpoints = Interrupted(tmp_path, at=4)
    whole, killed, resumed = context(), *(context(checkpoints=checkpoints) for _ in range(2))
    expected = train(conv(steps=7, shift=0.1), whole)
    with pytest.raises(Killed):
        train(conv(steps=7, shift=0.1), killed)
    again = train(conv(steps=7, shift=0.1), resumed, start=99)
    assert resumed.history == whole.history
    assert same(weights(again), weights(expected))
