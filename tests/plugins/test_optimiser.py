from __future__ import annotations

import pytest
import torch
from gvr_explainers.latent_optimizer import PATH, Look, Trail, adam, descend, straight
from torch import Tensor


def bowl(z: Tensor, _positions: Tensor, _step: int) -> Look:
    """Half the squared distance from the origin; within 0.15 of it is there."""
    return Look(z.square().sum(1) / 2, z.norm(dim=1) <= 0.15)


def test_unreachable_latent_takes_all_steps():
    start = Tensor([[0.05, 0.0], [9.0, 9.0]])
    made = descend(start, bowl, steps=5, learning_rate=0.1)
    assert made.arrived.tolist() == [True, False]
    assert made.steps.tolist() == [0, 5]
    torch.testing.assert_close(made.latent[1], Tensor([8.5, 8.5]), rtol=0, atol=1e-2)


def test_arrival_at_last_step_counts():
    made = descend(Tensor([[0.3]]), bowl, steps=2, learning_rate=0.1)
    assert (made.arrived.tolist(), made.steps.tolist()) == ([True], [2])


def test_arrived_latents_leave_the_batch():
    seen = []

    def watched(z: Tensor, positions: Tensor, step: int) -> Look:
        seen.append((step, positions.tolist()))
        return bowl(z, positions, step)

    made = descend(Tensor([[0.0], [0.3], [0.2]]), watched, steps=9, learning_rate=0.1)
    assert seen == [(0, [0, 1, 2]), (1, [1, 2]), (2, [1])]
    assert made.steps.tolist() == [0, 2, 1]
    assert made.latent[0].item() == 0.0


def test_start_and_gradients_are_unchanged():
    start = Tensor([[1.0, 2.0]])
    with torch.no_grad():
        made = descend(start, bowl, steps=3, learning_rate=0.1)
        assert not torch.is_grad_enabled()
    assert start.tolist() == [[1.0, 2.0]]
    assert not start.requires_grad
    assert not made.latent.requires_grad


@pytest.mark.parametrize("isotropic", [False, True])
def test_latents_move_independently(isotropic):
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    how = {"steps": 60, "learning_rate": 0.05, "isotropic": isotropic}
    together = descend(start, bowl, **how)
    assert len(set(together.steps.tolist())) > 2
    for i in range(5):
        alone = descend(start[i : i + 1], bowl, **how)
        torch.testing.assert_close(together.latent[i], alone.latent[0], rtol=0, atol=1e-6)
        assert together.steps[i] == alone.steps[0]


def test_adam_equals_torch():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, generator=rng)
    theirs = z.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.05)
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    for step in range(1, 21):
        slope = torch.randn(3, 5, generator=rng) * 10.0 ** (step % 7 - 3)
        theirs.grad = slope.clone()
        optimiser.step()
        z, first, second = adam(z, slope, first, second, step, 0.05)
        torch.testing.assert_close(z, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_isotropic_step_follows_the_gradient():
    z, slope = torch.zeros(1, 2), Tensor([[3.0, 4.0]])
    zeros = torch.zeros_like(z)
    plain, *_ = adam(z, slope, zeros, zeros, 1, 0.1)
    torch.testing.assert_close(plain, Tensor([[-0.1, -0.1]]))
    along, *_ = adam(z, slope, zeros, zeros, 1, 0.1, isotropic=True)
    # of the same length as the plain step
    torch.testing.assert_close(along, -0.1 * 2**0.5 * Tensor([[0.6, 0.8]]))


def test_trajectory_is_even_in_steps():
    start = Tensor([[0.0], [1.0], [9.0]])
    made = descend(start, bowl, steps=60, learning_rate=0.1)
    assert made.steps.tolist() == [0, 10, 60]
    n, frames, _ = made.path.shape
    assert (n, frames) == (3, PATH)
    torch.testing.assert_close(made.path[:, 0], start, rtol=0, atol=0)
    torch.testing.assert_close(made.path[:, -1], made.latent, rtol=0, atol=0)
    assert made.path[0].unique().tolist() == [0.0]
    ways = made.path[1:, :, 0]
    assert bool((ways.diff() < 0).all())
    # Adam's steps are about equal here, so equal parts of the steps are equal parts of the way.
    even = straight(start[1:], made.latent[1:])[:, :, 0]
    torch.testing.assert_close(ways, even, rtol=0.06, atol=0.06)


def test_trajectory_interpolates_between_records():
    trail = Trail()
    trail.keep(0, Tensor([[0.0], [0.0]]))
    trail.keep(7, Tensor([[7.0], [2.0]]))
    path = trail.path(Tensor([[7.0], [2.0]]), torch.tensor([7, 2]))
    torch.testing.assert_close(path[0, :, 0], torch.arange(8.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(path[1, :, 0], torch.arange(8.0) * 2 / 7, rtol=0, atol=1e-6)


def test_long_trajectory_has_few_records():
    trail = Trail()
    for step in range(5001):
        if trail.due(step):
            trail.keep(step, torch.zeros(1, 1))
    assert trail.steps[:5] == [0, 1, 2, 3, 4]
    assert len(trail.steps) < 90
