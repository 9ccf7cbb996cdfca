from __future__ import annotations

import pytest
import torch
from gvr_explainers.latent_optimizer import (
    TRAJECTORY_LENGTH,
    Evaluation,
    TrajectoryRecorder,
    adam,
    minimise,
    straight_trajectory,
)
from torch import Tensor


def bowl(z: Tensor, _positions: Tensor, _step: int) -> Evaluation:
    """Half the squared distance from the origin; within 0.15 of it is there."""
    return Evaluation(z.square().sum(1) / 2, z.norm(dim=1) <= 0.15)


def test_unreachable_latent_takes_all_steps():
    start = Tensor([[0.05, 0.0], [9.0, 9.0]])
    result = minimise(start, bowl, steps=5, learning_rate=0.1)
    assert result.reached.tolist() == [True, False]
    assert result.steps.tolist() == [0, 5]
    torch.testing.assert_close(result.latent[1], Tensor([8.5, 8.5]), rtol=0, atol=1e-2)


def test_arrival_at_last_step_counts():
    result = minimise(Tensor([[0.3]]), bowl, steps=2, learning_rate=0.1)
    assert (result.reached.tolist(), result.steps.tolist()) == ([True], [2])


def test_arrived_latents_leave_the_batch():
    calls = []

    def watched(z: Tensor, positions: Tensor, step: int) -> Evaluation:
        calls.append((step, positions.tolist()))
        return bowl(z, positions, step)

    result = minimise(Tensor([[0.0], [0.3], [0.2]]), watched, steps=9, learning_rate=0.1)
    assert calls == [(0, [0, 1, 2]), (1, [1, 2]), (2, [1])]
    assert result.steps.tolist() == [0, 2, 1]
    assert result.latent[0].item() == 0.0


def test_start_and_gradients_are_unchanged():
    start = Tensor([[1.0, 2.0]])
    with torch.no_grad():
        result = minimise(start, bowl, steps=3, learning_rate=0.1)
        assert not torch.is_grad_enabled()
    assert start.tolist() == [[1.0, 2.0]]
    assert not start.requires_grad
    assert not result.latent.requires_grad


@pytest.mark.parametrize("isotropic", [False, True])
def test_latents_move_independently(isotropic):
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    how = {"steps": 60, "learning_rate": 0.05, "isotropic": isotropic}
    together = minimise(start, bowl, **how)
    assert len(set(together.steps.tolist())) > 2
    for i in range(5):
        alone = minimise(start[i : i + 1], bowl, **how)
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
    result = minimise(start, bowl, steps=60, learning_rate=0.1)
    assert result.steps.tolist() == [0, 10, 60]
    n, frames, _ = result.trajectory.shape
    assert (n, frames) == (3, TRAJECTORY_LENGTH)
    torch.testing.assert_close(result.trajectory[:, 0], start, rtol=0, atol=0)
    torch.testing.assert_close(result.trajectory[:, -1], result.latent, rtol=0, atol=0)
    assert result.trajectory[0].unique().tolist() == [0.0]
    moving = result.trajectory[1:, :, 0]
    assert bool((moving.diff() < 0).all())
    # Adam's steps are about equal here, so equal parts of the steps are equal parts of the
    # distance.
    even = straight_trajectory(start[1:], result.latent[1:])[:, :, 0]
    torch.testing.assert_close(moving, even, rtol=0.06, atol=0.06)


def test_trajectory_interpolates_between_records():
    recorder = TrajectoryRecorder()
    recorder.record(0, Tensor([[0.0], [0.0]]))
    recorder.record(7, Tensor([[7.0], [2.0]]))
    trajectory = recorder.trajectory(Tensor([[7.0], [2.0]]), torch.tensor([7, 2]))
    torch.testing.assert_close(trajectory[0, :, 0], torch.arange(8.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(trajectory[1, :, 0], torch.arange(8.0) * 2 / 7, rtol=0, atol=1e-6)


def test_long_trajectory_has_few_records():
    recorder = TrajectoryRecorder()
    for step in range(5001):
        if recorder.due(step):
            recorder.record(step, torch.zeros(1, 1))
    assert recorder.steps[:5] == [0, 1, 2, 3, 4]
    assert len(recorder.steps) < 90
