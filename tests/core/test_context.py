"""The loop of all trainings: killed anywhere, it ends where it would have ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints

STEPS = 12


class KilledError(Exception):
    pass


def train(ctx: gvr.Context, killed_at: int | None = None, *, fused: bool = True) -> dict:
    """Train a small network as plugins do; return its weights, its optimiser's state and losses."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1), nn.SELU(), nn.Conv2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4)
    ).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), 1e-2, fused=fused)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    state = {"net": net, "adam": adam, "schedule": schedule}
    for step in ctx.loop(STEPS, state, batch=4, images=100):
        if step == killed_at:
            raise KilledError
        x = torch.randn(4, 3, 16, 16, generator=ctx.rng(step))
        goal = x[:, [0, 1, 2, 0], ::4, ::4]
        loss = F.mse_loss(net(x.contiguous(memory_format=torch.channels_last)), goal)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        ctx.log(loss=loss.item())
    moments = {
        f"{name} {i}": part
        for i, s in adam.state_dict()["state"].items()
        for name, part in s.items()
    }
    return {**net.state_dict(), **moments, "rate": torch.tensor(schedule.get_last_lr())}


def context(folder: Path | None = None, every: float = 0, **more: object) -> gvr.Context:
    checkpoints = FileCheckpoints(folder, every) if folder else None
    return gvr.Context(torch.device("cpu"), seed=5, checkpoints=checkpoints, **more)


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict, list]:
    ctx = context()
    return train(ctx), ctx.history


def assert_same(trained: dict, ctx: gvr.Context, uninterrupted: tuple[dict, list]) -> None:
    expected, history = uninterrupted
    assert trained.keys() == expected.keys()
    assert [k for k in trained if not torch.equal(trained[k], expected[k])] == []
    assert ctx.history == history


@pytest.mark.parametrize("step", [0, 1, 2, 5, STEPS - 1])
def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, uninterrupted: tuple[dict, list], step: int
) -> None:
    with pytest.raises(KilledError):
        train(context(tmp_path), step)
    ctx = context(tmp_path)
    checkpoint = ctx.checkpoints.load()
    assert (checkpoint and checkpoint[0]) == (step or None)
    assert_same(train(ctx), ctx, uninterrupted)


def test_repeatedly_killed_training_equals_uninterrupted(
    tmp_path: Path, uninterrupted: tuple[dict, list]
) -> None:
    for step in (3, 4, 4, 9):
        with pytest.raises(KilledError):
            train(context(tmp_path), step)
    ctx = context(tmp_path)
    assert_same(train(ctx), ctx, uninterrupted)


def test_training_without_checkpoint_starts_over(
    tmp_path: Path, uninterrupted: tuple[dict, list]
) -> None:
    with pytest.raises(KilledError):
        train(context(tmp_path, every=1e6), 9)
    assert list(tmp_path.iterdir()) == []
    ctx = context(tmp_path)
    assert_same(train(ctx), ctx, uninterrupted)


def test_resumed_training_shows_its_step(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(context(tmp_path), 8)
    shown: list[tuple[int, int, str]] = []
    train(context(tmp_path, progress=lambda *what: shown.append(what)))
    assert shown[0] == (8, STEPS, "epoch 0.3")
    assert shown[-1] == (STEPS, STEPS, "")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_loss_names_its_step(bad: float) -> None:
    ctx = context()

    def fit() -> None:
        for step in ctx.loop(9, {}):
            ctx.log(loss=1.0, critic=bad if step == 4 else 0.5)

    with pytest.raises(gvr.TrainingError, match=rf"^critic became {bad} at step 4 of 9$"):
        fit()
    assert [row["step"] for row in ctx.history] == [0, 1, 2, 3]


def test_draws_depend_on_seed_and_step() -> None:
    def draw(seed: int, *parts: object) -> float:
        ctx = gvr.Context(torch.device("cpu"), seed=seed)
        return torch.rand(1, generator=ctx.rng(*parts)).item()

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(1, 3), draw(2, 2), draw(1, "2"), draw(1, 2, 0)}) == 5


def test_batches_cover_everything_once() -> None:
    ctx = gvr.Context(torch.device("cpu"), batch_size=4)
    assert list(ctx.batches(10)) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert list(ctx.batches(0)) == []


@pytest.mark.parametrize(
    ("epochs", "steps", "images", "expected"),
    [(None, 3000, 10, 3000), (150, 3000, 611, 955), (150, 3000, 24_000, 3000), (150, 3000, 9, 500),
     (150, 60, 9, 60)],
)  # fmt: skip
def test_small_data_set_takes_fewer_steps(epochs, steps, images, expected):
    assert gvr.steps_within(epochs, steps, batch=96, images=images) == expected
