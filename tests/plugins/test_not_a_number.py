"""A loss that is no number ends a training at once, whenever losses are written down."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gvr_encoders.conv import Conv
from gvr_encoders.supervised import Supervised
from gvr_explainers.latent_optimizer import Evaluation, minimise
from gvr_generators.ae import Ae
from gvr_generators.vae import Vae
from gvr_generators.wgan_gp import WganGp
from gvr_heads.networks import Linear, Mlp, Residual
from gvr_heads.robust import RobustMlp
from small_parts import Painter, Rack, context, frozen, seeded
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.cache.checkpoints import FileCheckpoints

STEPS, AT = 120, 17  # no step at which any of them writes its losses down
IMAGE = gvr.ImageSpec(1, 16)
TASK = gvr.Task("binary", ("bright",))


class Rotten(Rack):
    """Images that are no numbers at one step of the training."""

    def __init__(self, ctx: gvr.Context, bad: float) -> None:
        rng = torch.Generator().manual_seed(1)
        targets = (torch.arange(24) % 2).float()[:, None]
        super().__init__(torch.rand(24, 1, 16, 16, generator=rng) * 2 - 1, targets=targets)
        self.ctx = ctx
        self.bad = bad

    def __getitem__(self, index: Tensor) -> Tensor:
        pixels = super().__getitem__(index)
        return pixels * self.bad if self.ctx._step == AT and self.ctx._total else pixels


def generator(kind: type[gvr.Generator], ctx: gvr.Context, bad: float, **settings: object) -> None:
    latent = "latent_dim" if kind is WganGp else "channels"
    made = kind(kind.Settings(width=4, batch=4, **{latent: 4}, **settings))
    made.fit(seeded(lambda: made.build(IMAGE)), Rotten(ctx, bad), ctx)


def encoder(kind: type[gvr.Encoder], ctx: gvr.Context, bad: float) -> None:
    made = kind(kind.Settings(width=4, batch=4, steps=STEPS))
    painter = frozen(Painter())
    net = seeded(lambda: made.build(IMAGE, painter))
    made.fit(net, painter, Rotten(ctx, bad), ctx)


TRAININGS = {
    "wgan-gp": lambda ctx, bad: generator(WganGp, ctx, bad, iterations=STEPS, critic_steps=2),
    "vae": lambda ctx, bad: generator(Vae, ctx, bad, steps=STEPS),
    "ae": lambda ctx, bad: generator(Ae, ctx, bad, steps=STEPS),
    "conv": lambda ctx, bad: encoder(Conv, ctx, bad),
    "supervised": lambda ctx, bad: encoder(Supervised, ctx, bad),
}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", TRAININGS)
def test_diverging_network_keeps_its_checkpoint(tmp_path: Path, name: str, bad: float) -> None:
    ctx = context(checkpoints=FileCheckpoints(tmp_path, 0))
    with pytest.raises(gvr.TrainingError, match=rf" became -?(nan|inf) at step {AT} of {STEPS}$"):
        TRAININGS[name](ctx, bad)
    assert all(step["step"] <= AT for step in ctx.history)
    found = FileCheckpoints(tmp_path, 0).load()
    assert found is not None
    step, state, _ = found
    assert step == AT
    for part in state.values():
        for value in part.values():
            assert not (isinstance(value, Tensor) and value.isnan().any())


@pytest.mark.parametrize("kind", [Linear, Mlp, Residual, RobustMlp])
def test_diverging_head_names_the_step(monkeypatch: pytest.MonkeyPatch, kind) -> None:
    ctx = context()
    usual = gvr.task_loss

    def loss(outputs: Tensor, targets: Tensor, task: gvr.Task) -> Tensor:
        return usual(outputs, targets, task) * (torch.nan if ctx._step == AT else 1)

    monkeypatch.setattr(gvr, "task_loss", loss)
    made = kind(kind.Settings(steps=STEPS, batch=8, checks=2))
    rng = torch.Generator().manual_seed(1)
    data = gvr.Latents(torch.randn(32, 4, generator=rng), (torch.arange(32) % 2).float()[:, None])
    with pytest.raises(gvr.TrainingError, match=rf"^loss became nan at step {AT} of {STEPS}$"):
        made.fit(seeded(lambda: made.build(4, TASK)), data, data, TASK, ctx)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_diverging_search_names_the_step(bad: float) -> None:
    def look(z: Tensor, positions: Tensor, step: int) -> Evaluation:
        value = z.square().sum(1)
        if step == 3:
            value = torch.where(positions == 1, bad * value, value)
        return Evaluation(value, torch.zeros(len(z), dtype=torch.bool))

    with pytest.raises(gvr.TrainingError, match=r"of 1 of 3 latents became NaN.*at step 3 of 9"):
        minimise(torch.ones(3, 2), look, steps=9, learning_rate=0.1)


def test_huge_learning_rate_is_reported() -> None:
    """Without a patch: the weights overflow by themselves."""
    ctx = context()
    made = Vae(Vae.Settings(channels=4, width=4, batch=4, steps=STEPS, learning_rate=1e30))
    images = Rack(torch.rand(24, 1, 16, 16) * 2 - 1)
    with pytest.raises(gvr.TrainingError, match=r"loss became (nan|inf) at step [1-3] of"):
        made.fit(seeded(lambda: made.build(IMAGE)), images, ctx)
