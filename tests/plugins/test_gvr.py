from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from gvr_explainers import batching
from gvr_explainers.gvr import Gvr
from small_parts import context, frozen, same, weights
from torch import Tensor, nn

import gvr_bench.api as gvr

DENSITY = gvr.Task("regression", ("density",), "g/l", threshold=0.5)
BINARY = gvr.Task("binary", ("mass",))
THREE = gvr.Task("multiclass", ("0", "7", "9"), source=0, target=1)
BNP = gvr.Task("regression", ("BNP",), "ng/L", threshold=100.0, scale=gvr.Scale(True, 10))


class Stripes(nn.Module):
    """Decoder: each of three latents is the brightness of one row of 4 x 4 pixels."""

    latent_dim = 3

    def forward(self, z: Tensor) -> Tensor:
        rows = torch.cat([z, torch.zeros_like(z[:, :1])], dim=1)
        return rows[:, None, :, None].expand(-1, 1, 4, 4)


class Brightness(nn.Module):
    """Encoder: the inverse of `Stripes`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 3))[:, :3]


def model(rows: list[list[float]], bias: list[float] | None = None) -> gvr.Model:
    """A model whose head has these weights, a row per output."""
    head = nn.Linear(3, len(rows))
    with torch.no_grad():
        head.weight.copy_(Tensor(rows))
        head.bias.copy_(Tensor(bias or [0.0] * len(rows)))
    return gvr.Model(frozen(Brightness()), frozen(Stripes()), frozen(head))


def ask(
    task: gvr.Task,
    n: int = 1,
    *,
    threshold: float = 0.5,
    reference_value: float = 0.45,
    target: int = 0,
) -> gvr.ExplanationTarget:
    zeros = torch.zeros(n, dtype=torch.int64)
    return gvr.ExplanationTarget(
        task, zeros, zeros + target, torch.full((n,), threshold), torch.full((n,), reference_value)
    )


def explain(
    model: gvr.Model, z: list[list[float]], target: gvr.ExplanationTarget, **settings: object
) -> gvr.Explanation:
    """Explain the images that these latents decode to, without a penalty unless given."""
    given = {"penalty": 0.0, "steps": 100, "learning_rate": 0.1, "target_weight": 1.0, **settings}
    explainer = Gvr(Gvr.Settings(**given))
    return explainer.explain(model, Stripes()(Tensor(z)), target, context())


def test_unreachable_cutoff_is_reported():
    made = explain(model([[0.0, 0.0, 0.0]], [0.8]), [[1, 0, 0]], ask(DENSITY), steps=7)
    assert made.success.tolist() == [False]
    assert made.steps.tolist() == [7]
    assert made.reason == ("still at 0.8 after 7 steps, cut-off 0.45",)


def test_cutoff_above_threshold_is_no_success():
    made = explain(model([[1.0, 0.0, 0.0]]), [[3, 0, 0]], ask(BINARY), cutoff=0.7)
    assert made.success.tolist() == [False]
    assert made.steps.item() < 100
    assert made.reason == ("cut-off 0.7 is not past the decision threshold",)


def test_constant_gradient_takes_expected_steps():
    # Adam moves by the learning rate: 1.0, 0.9, ... and 0.4 is the first at or below 0.45.
    made = explain(model([[1.0, 0.0, 0.0]]), [[1, 0.3, -0.2]], ask(DENSITY))
    assert made.steps.tolist() == [6]
    assert made.success.tolist() == [True]
    assert made.reason == ("",)
    torch.testing.assert_close(made.latent, Tensor([[0.4, 0.3, -0.2]]))
    torch.testing.assert_close(made.counterfactual, Stripes()(made.latent))


def test_attribution_is_positive_for_added_density():
    made = explain(model([[1.0, -1.0, 0.0]]), [[1, 0, 0.5]], ask(DENSITY))
    down, up, still = made.attribution[0, :3, 0].tolist()
    assert down == pytest.approx(0.3)  # 1.0 - 0.7: bright tissue that speaks for the finding
    assert up == pytest.approx(-0.3)
    assert still == 0
    assert torch.equal(made.attribution[0, 3], torch.zeros(4))


def test_attribution_starts_at_reconstruction():
    x = Stripes()(Tensor([[1, 0, 0]])).clone()
    x[0, 0, 3] = 0.9  # what the decoder cannot paint is no part of the rationale
    made = Gvr(Gvr.Settings(penalty=0.0)).explain(
        model([[1.0, 0.0, 0.0]]), x, ask(DENSITY), context()
    )
    assert torch.equal(made.attribution[0, 3], torch.zeros(4))


def test_image_past_cutoff_is_unchanged():
    made = explain(model([[1.0, 0.0, 0.0]]), [[0.2, 1, 1], [1, 0, 0]], ask(DENSITY, 2))
    assert made.steps.tolist() == [0, 6]
    assert made.success.tolist() == [True, True]
    assert torch.equal(made.latent[0], Tensor([0.2, 1, 1]))
    assert torch.equal(made.attribution[0], torch.zeros(4, 4))


@pytest.mark.parametrize("penalty", [1.0, 2.0, 8.0])
def test_penalty_balances_the_prediction(penalty):
    # One row of four changes: z + gamma z^2 / 4 is least at z = -2 / gamma.
    made = explain(
        model([[1.0, 0.0, 0.0]]), [[0, 0, 0]], ask(DENSITY, reference_value=-9.0),
        penalty=penalty, steps=600, learning_rate=0.05,
    )  # fmt: skip
    assert made.latent[0, 0].item() == pytest.approx(-2 / penalty, rel=0.02)
    assert made.attribution.abs().max().item() == pytest.approx(2 / penalty, rel=0.02)


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_target_class_is_weighted(beta):
    # Two classes alike: y0 - beta y1 = (1 + beta) y0 - beta, whose slope is (1 + beta) y0 y1.
    task = gvr.Task("multiclass", ("a", "b"), source=0, target=1)
    z = torch.zeros(1, 3, requires_grad=True)
    head = model([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).head
    target = ask(task, target=1)
    explainer = Gvr(Gvr.Settings(target_weight=beta, penalty=0.0))
    explainer.objective(target.task.activate(head(z)), torch.zeros(1), target).sum().backward()
    torch.testing.assert_close(z.grad, (1 + beta) / 4 * Tensor([[1.0, -1.0, 0.0]]))


def test_success_requires_the_target_class():
    # Lowering the first latent leaves class 0 for class 9; raising the second reaches class 7.
    towards_nine = model([[1, 0, 0], [0, 0, 0], [0, 0, 0]], [0, -9, 0])
    towards_seven = model([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [0, 0, -9])
    for one, found, reason in ((towards_nine, False, "became 9"), (towards_seven, True, "")):
        made = explain(one, [[4, 0, 0]], ask(THREE, reference_value=0.1, target=1))
        assert made.success.tolist() == [found]
        assert made.reason == (reason,)
        assert made.steps.item() < 100


def test_cutoff_is_scaled_to_unit():
    explainer = Gvr(Gvr.Settings(cutoff=10.0))
    target = ask(BNP, 2, threshold=math.log(100) / 10)
    assert explainer.cutoff(target).tolist() == pytest.approx([math.log(10) / 10] * 2)
    made = explain(
        model([[1.0, 0.0, 0.0]]), [[0.7, 0, 0]], target[:1], cutoff=10.0, learning_rate=0.01
    )
    assert made.success.tolist() == [True]
    assert math.log(10) / 10 - 0.01 <= made.latent[0, 0].item() <= math.log(10) / 10


def test_default_cutoff_is_reference_value():
    target = ask(DENSITY, reference_value=0.125)
    assert Gvr(Gvr.Settings()).cutoff(target).tolist() == [0.125]


@pytest.mark.parametrize("task", [BINARY, DENSITY], ids=["binary", "regression"])
def test_batch_does_not_change_results(task):
    one = model([[1.0, -0.5, 0.2]])
    latents = [[1.0, 0.1, 0.4], [0.1, 0.9, 0.0], [3.0, -1.0, 2.0]]
    together = explain(one, latents, ask(task, 3), penalty=0.5)
    assert len(set(together.steps.tolist())) == 3
    for i, z in enumerate(latents):
        alone = explain(one, [z], ask(task), penalty=0.5)
        torch.testing.assert_close(together.attribution[i], alone.attribution[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.latent[i], alone.latent[0], rtol=0, atol=1e-5)
        assert together.steps[i] == alone.steps[0]
        assert together.reason[i] == alone.reason[0]


def test_model_is_unchanged():
    one = model([[1.0, 0.0, 0.0]])
    before = weights(one.head)
    explain(one, [[1, 0, 0]], ask(DENSITY), penalty=0.1)
    assert same(weights(one.head), before)
    assert all(weight.grad is None for weight in one.head.parameters())


def one_by_one(
    model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, settings: Gvr.Settings
) -> tuple[Tensor, list[int]]:
    """Algorithms 1 and 2 as they are printed: a loop over one image with torch's optimiser."""
    latents, steps = [], []
    for i in range(len(x)):
        asked = target[i : i + 1]
        z = model.encoder(x[i : i + 1]).clone().requires_grad_()
        before = model.generator(z).detach()
        adam = torch.optim.Adam([z], settings.learning_rate)
        cutoff = Gvr(settings).cutoff(asked)
        for step in range(settings.steps + 1):
            y = asked.task.activate(model.head(z))
            loss = asked.source_output(y)
            if loss <= cutoff or step == settings.steps:
                break
            if asked.task.kind == "multiclass":
                loss = loss - settings.target_weight * y[:, int(asked.target_class)]
            loss = loss + settings.penalty * (model.generator(z) - before).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        latents.append(z.detach())
        steps.append(step)
    return torch.cat(latents), steps


@pytest.mark.parametrize("task", [BINARY, DENSITY, THREE], ids=lambda task: task.kind)
def test_batch_equals_paper_algorithm(task, monkeypatch):
    monkeypatch.setattr(batching, "CPU_BUDGET", 4 * 4 * 16 * 128)  # four images at once
    rng = torch.Generator().manual_seed(0)
    rows = [[2.0, 0.5, -0.3], [-0.5, 1.0, 0.3], [0.0, 0.2, 0.1]][: len(task.outputs)]
    x = Stripes()(torch.rand(9, 3, generator=rng) * 2)
    asked, target = model(rows), ask(task, 9, target=int(task == THREE))
    target = dataclasses.replace(target, reference_value=torch.linspace(0.1, 0.4, 9))
    settings = Gvr.Settings(learning_rate=0.05, penalty=0.3, target_weight=2.0, steps=150)
    made = Gvr(settings).explain(asked, x, target, context())
    latents, steps = one_by_one(asked, x, target, settings)
    torch.testing.assert_close(made.latent, latents, rtol=0, atol=1e-4)
    assert made.steps.tolist() == steps
    assert len(set(steps)) > 3
