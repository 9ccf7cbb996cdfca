from __future__ import annotations

import pytest
import torch
from gvr_explainers import batching
from gvr_explainers.counterfactual_base import Start
from gvr_explainers.latent_shift import LatentShift, direction
from small_parts import context, frozen
from test_gvr import BINARY, BNP, DENSITY, THREE, Brightness, Stripes, ask, model
from torch import Tensor, nn

import gvr_bench.api as gvr


def explain(
    model: gvr.Model, z: list[list[float]], target: gvr.ExplanationTarget, **settings: object
) -> gvr.Explanation:
    """Explain the images that these latents decode to, in shifts of 0.1 unless given."""
    explainer = LatentShift(LatentShift.Settings(**{"step": 0.1, "steps": 50, **settings}))
    return explainer.explain(model, Stripes()(Tensor(z)), target, context())


def test_latent_follows_gradient_to_reference():
    made = explain(
        model([[3.0, 4.0, 0.0]], [-2.0]), [[1.0, 0.5, 0.25]], ask(DENSITY, reference_value=0.3)
    )
    # 3 - 5 * length <= 0.3 first holds at 0.6, in the direction (0.6, 0.8, 0)
    assert made.steps.tolist() == [6]
    assert made.success.tolist() == [True]
    assert made.reason == ("",)
    expected = torch.tensor([[1 - 0.36, 0.5 - 0.48, 0.25]])
    torch.testing.assert_close(made.latent, expected)
    torch.testing.assert_close(made.counterfactual, Stripes()(expected))
    rows = torch.tensor([0.36, 0.48, 0.0, 0.0])
    torch.testing.assert_close(made.attribution, rows[:, None].expand(4, 4)[None])


def test_shift_must_survive_encoding():
    """This decoder cannot show a brightness below 0.5, where the head alone would be satisfied."""

    class Bright(Stripes):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z.clamp_min(0.5))

    head = model([[1.0, 0.0, 0.0]]).head
    fooled = gvr.Model(frozen(Brightness()), frozen(Bright()), head)
    made = explain(fooled, [[0.9, 0.0, 0.0]], ask(DENSITY, threshold=0.4, reference_value=0.3))
    assert made.success.tolist() == [False]
    assert made.reason == ("lowest 0.5 in 50 shifts of 0.1, goal 0.3",)
    assert made.counterfactual[0, 0, 0, 0] == 0.5


def test_reached_image_is_unchanged():
    made = explain(model([[1.0, 0.0, 0.0]]), [[0.2, 0.0, 0.0]], ask(DENSITY))
    assert made.steps.tolist() == [0]
    assert made.success.tolist() == [True]
    assert not made.attribution.any()


def test_zero_gradient_is_no_success():
    made = explain(model([[0.0, 0.0, 0.0]], [0.9]), [[0.5, 0.5, 0.5]], ask(DENSITY))
    assert made.success.tolist() == [False]
    assert made.steps.tolist() == [50]
    assert made.attribution.eq(0).all()
    assert made.reason == ("lowest 0.9 in 50 shifts of 0.1, goal 0.45",)


def test_steps_cap_counts_shifts():
    down = model([[1.0, 0.0, 0.0]])
    z, target = [[0.95, 0.0, 0.0]], ask(DENSITY)  # 0.45 is passed with the sixth shift, in rounding
    assert explain(down, z, target, steps=6).success.tolist() == [True]
    short = explain(down, z, target, steps=4)
    assert short.success.tolist() == [False]
    assert short.steps.tolist() == [4]
    assert short.latent[0, 0].item() == pytest.approx(0.55)


def test_probability_must_reach_reference_and_threshold():
    made = explain(model([[4.0, 0.0, 0.0]]), [[0.9, 0.0, 0.0]], ask(BINARY, reference_value=0.2))
    probability = torch.sigmoid(4 * made.latent[0, 0])
    assert 0.2 * 0.6 < probability <= 0.2
    strict = ask(BINARY, threshold=0.1, reference_value=0.6)
    made = explain(model([[4.0, 0.0, 0.0]]), [[0.9, 0.0, 0.0]], strict)
    assert torch.sigmoid(4 * made.latent[0, 0]) < 0.1
    assert made.success.tolist() == [True]


def test_regression_uses_scaled_values():
    threshold, reference_value = (BNP.scale.apply_one(value) for value in (100.0, 30.0))
    target = ask(BNP, threshold=threshold, reference_value=reference_value)
    made = explain(model([[1.0, 0.0, 0.0]]), [[0.9, 0.0, 0.0]], target, step=0.01, steps=100)
    assert made.success.tolist() == [True]
    assert reference_value - 0.011 < made.latent[0, 0] <= reference_value


def test_only_target_class_counts():
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    z = [[0.9, 0.45, 0.2], [0.9, 0.2, 0.45]]
    made = explain(model(rows), z, ask(THREE, 2, target=1))
    assert made.success.tolist() == [True, False]
    assert made.steps.tolist() == [5, 50]
    assert made.reason[1].endswith("never 7")


def test_batch_does_not_change_results(monkeypatch):
    down = model([[1.0, 0.5, 0.0]])
    z = [[0.9, 0.1, 0.0], [0.6, 0.0, 0.3], [0.99, 0.9, 0.0], [0.1, 0.0, 0.0]]
    together = explain(down, z, ask(DENSITY, 4))
    assert len(set(together.steps.tolist())) == 4
    monkeypatch.setattr(batching, "CPU_BUDGET", 1)
    apart = explain(down, z, ask(DENSITY, 4))
    assert torch.equal(apart.steps, together.steps)
    torch.testing.assert_close(apart.latent, together.latent)
    torch.testing.assert_close(apart.attribution, together.attribution)


def test_direction_is_from_decoded_image():
    """The decoder doubles the first latent, which must show in the gradient."""

    class Doubled(Stripes):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z * torch.tensor([2.0, 1.0, 1.0]))

    head = model([[3.0, 8.0, 0.0]]).head
    doubled = gvr.Model(frozen(Brightness()), frozen(Doubled()), head)
    start = Start(torch.zeros(1, 1, 4, 4), torch.zeros(1, 3), torch.zeros(1, 1, 4, 4))
    way = direction(doubled, start, ask(DENSITY), residual=False)
    torch.testing.assert_close(way, torch.tensor([[0.6, 0.8, 0.0]]))
    blind = gvr.Model(frozen(Brightness()), frozen(Stripes()), frozen(nn.Linear(3, 1)))
    blind.head.weight[:] = 0
    assert direction(blind, start, ask(DENSITY), residual=False).eq(0).all()
