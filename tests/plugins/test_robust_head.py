from __future__ import annotations

import pytest
import torch
from gvr_heads.networks import Mlp
from gvr_heads.robust import RobustMlp
from small_parts import context, same, seeded, weights
from torch import Tensor, nn

import gvr_bench.api as gvr

TWO = gvr.Task("multiclass", ("a", "b"), source=0, target=1)
WIDE, FINE = 4.0, 0.01  # the distance between the classes, in two dimensions of a latent


def latents(n: int, seed: int) -> gvr.Latents:
    """Two classes told apart by much in one dimension, blurred, and by little in another, sharp."""
    rng = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 2, (n, 1), generator=rng).float()
    wide = WIDE * (kind - 0.5) + 1.5 * torch.randn(n, 1, generator=rng)
    fine = FINE * (kind - 0.5) + 0.1 * FINE * torch.randn(n, 1, generator=rng)
    return gvr.Latents(torch.cat([wide, fine], 1), kind)


def fitted(head: Mlp) -> nn.Module:
    net = seeded(lambda: head.build(2, TWO))
    head.fit(net, latents(400, 0), latents(200, 1), TWO, context())
    return net


def fine_share(net: nn.Module) -> float:
    """By how much of the whole the logits differ through the fine dimension."""

    def logit(wide: float, fine: float) -> float:
        a, b = net(Tensor([[wide, fine]]))[0].tolist()
        return b - a

    by_fine = abs(logit(0, FINE / 2) - logit(0, -FINE / 2))
    return by_fine / (by_fine + abs(logit(WIDE / 2, 0) - logit(-WIDE / 2, 0)))


def test_head_ignores_barely_visible_feature():
    how = {"steps": 200, "batch": 64, "units": 16}
    assert fine_share(fitted(Mlp(Mlp.Settings(**how)))) > 0.6
    assert fine_share(fitted(RobustMlp(RobustMlp.Settings(**how)))) < 0.1


def test_zero_radius_equals_mlp():
    how = {"steps": 20, "batch": 64, "units": 16}
    plain = fitted(Mlp(Mlp.Settings(**how)))
    robust = fitted(RobustMlp(RobustMlp.Settings(radius=0.0, **how)))
    assert same(weights(plain), weights(robust))


def test_latents_move_against_the_loss():
    head = RobustMlp(RobustMlp.Settings(radius=0.5))
    net = seeded(lambda: head.build(2, TWO))
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(5, 1)
    moved = head.loss(net, z, targets, TWO, 1.0)
    torch.testing.assert_close((seen[-1] - z).norm(dim=1), torch.full((5,), 0.5 * 2**0.5))
    assert moved > gvr.task_loss(net(z), targets, TWO)


@pytest.mark.parametrize("grad", [True, False])
def test_loss_works_without_gradients(grad):
    head = RobustMlp(RobustMlp.Settings())
    net = seeded(lambda: head.build(2, TWO))
    with torch.set_grad_enabled(grad):
        loss = head.loss(net, torch.ones(3, 2), torch.zeros(3, 1), TWO, 1.0)
    assert loss.requires_grad == grad
