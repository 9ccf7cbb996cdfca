"""Counterfactual searches against what their definitions give where it can be worked out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gvr_explainers.attfind import AttFind, choose
from gvr_explainers.dive import Dive, alike
from gvr_explainers.goals import target_loss
from gvr_explainers.growing_spheres import GrowingSpheres
from gvr_explainers.linear_shift import LinearShift, PatternShift
from gvr_explainers.rationale_gradient import RationaleGradient
from gvr_explainers.xgem import Xgem
from small_parts import context, frozen
from test_gvr import BINARY, DENSITY, THREE, Brightness, Stripes, ask, model
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.core.reference import Reference

DOWN = [[1.0, 0.0, 0.0]]  # the output is the brightness of the first row


def explain(
    cls: type[gvr.Explainer],
    network: gvr.Model,
    z: list[list[float]],
    target: gvr.ExplanationTarget,
    training: Tensor | None = None,
    **settings: Any,
) -> gvr.Explanation:
    """Explain the images that these latents decode to; `training` are latents of others."""
    ctx = context()
    if training is not None:
        images, labels = Stripes()(training), np.arange(len(training))[:, None] % 2
        known = Reference(network, target.task, labels.astype(np.float32), lambda i: images[i])
        ctx = dataclasses.replace(ctx, _reference=known)
    return cls(cls.Settings(**settings)).explain(network, Stripes()(Tensor(z)), target, ctx)


def normal(n: int, *deviations: float) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=rng) * torch.tensor(deviations)


def curved() -> gvr.Model:
    """The output is the cube of the first latent."""

    class Cube(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z[:, :1] ** 3

    return gvr.Model(frozen(Brightness()), frozen(Stripes()), Cube())


class TestTargetLoss:
    OUTPUTS = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.0, -0.5]])

    def test_cross_entropy_of_classes(self) -> None:
        expected = F.cross_entropy(self.OUTPUTS, torch.tensor([1, 1]), reduction="none")
        assert torch.equal(target_loss(self.OUTPUTS, ask(THREE, 2, target=1)), expected)

    def test_binary_target_is_absence(self) -> None:
        logits = self.OUTPUTS[:, :1]
        expected = F.binary_cross_entropy_with_logits(logits, torch.zeros(2, 1), reduction="none")
        torch.testing.assert_close(target_loss(logits, ask(BINARY, 2)), expected[:, 0])

    def test_regression_counts_from_reference(self) -> None:
        loss = target_loss(torch.tensor([[0.65]]), ask(DENSITY))  # threshold 0.5, reference 0.45
        assert loss.item() == pytest.approx(((0.65 - 0.45) / 0.05) ** 2, rel=1e-4)


class TestXgem:
    @pytest.mark.parametrize("weight", [0.0, 50.0, 100.0])
    def test_loss_balances_distance(self, weight: float) -> None:
        # ((z - 0.45) / 0.05)^2 + weight (1 - z) / 4 for one row of four
        made = explain(
            Xgem, model(DOWN), [[1.0, 0.2, 0.1]], ask(DENSITY),
            weight=weight, steps=400, learning_rate=0.01,
        )  # fmt: skip
        expected = 0.45 + weight * 0.05**2 / 8
        assert made.latent[0, 0].item() == pytest.approx(expected, abs=2e-3)
        assert made.success.tolist() == [True]
        assert made.steps.tolist() == [400]

    def test_large_weight_keeps_image(self) -> None:
        made = explain(Xgem, model(DOWN), [[1.0, 0.0, 0.0]], ask(DENSITY), weight=1e5, steps=30)
        assert made.reason == ("the decoded image does not flip in 30 steps",)


class TestLinearShift:
    def test_linear_head_takes_one_step(self) -> None:
        network = model([[3.0, 4.0, 0.0]], [-2.0])
        target = ask(DENSITY, reference_value=0.3)
        made = explain(LinearShift, network, [[1.0, 0.5, 0.25]], target, overshoot=0.001)
        moved = 1.001 * 2.7 / 25  # the output is 3
        expected = torch.tensor([[1 - 3 * moved, 0.5 - 4 * moved, 0.25]])
        torch.testing.assert_close(made.latent, expected)
        assert made.steps.tolist() == [1]
        assert made.success.tolist() == [True]

    def test_curved_head_is_linearised_again(self) -> None:
        target = ask(DENSITY, threshold=0.2, reference_value=0.125)
        made = explain(LinearShift, curved(), [[1.0, 0.0, 0.0]], target, overshoot=0.01)
        assert made.latent[0, 0].item() == pytest.approx(0.5, abs=0.01)
        assert 2 < made.steps.item() < 8
        short = explain(LinearShift, curved(), [[1.0, 0.0, 0.0]], target, steps=1)
        assert short.reason == ("1 linearisations of the head do not reach the goal",)

    def test_probability_reaches_reference(self) -> None:
        network, target = model([[4.0, 0.0, 0.0]]), ask(BINARY, reference_value=0.2)
        made = explain(LinearShift, network, [[0.9, 0.0, 0.0]], target, overshoot=1e-3)
        assert network(made.counterfactual).sigmoid().item() == pytest.approx(0.2, abs=1e-2)

    def test_flat_head_stays(self) -> None:
        made = explain(LinearShift, model([[0.0] * 3], [0.9]), [[0.5, 0.5, 0.5]], ask(DENSITY))
        assert not made.attribution.any()
        assert made.success.tolist() == [False]


class TestPatternShift:
    def test_least_mahalanobis_distance(self) -> None:
        training = normal(200, 0.3, 0.1, 0.2)
        weights = torch.tensor([1.0, 2.0, -1.0])
        target = ask(DENSITY, reference_value=0.1)
        start = [[0.5, 0.3, 0.2]]
        made = explain(
            PatternShift, model([weights.tolist()]), start, target, training, overshoot=1e-3
        )
        pattern = training.T.cov() @ weights
        length = 1.001 * (0.9 - 0.1) / (weights @ pattern)
        torch.testing.assert_close(made.latent, torch.tensor(start) - length * pattern)

    def test_suppressor_does_not_move(self) -> None:
        """The second latent is the noise in the first, which the head subtracts."""
        noise, signal = normal(4000, 0.5, 0.2, 0.0)[:, :2].unbind(1)
        training = torch.stack([signal + noise, noise, 0 * noise], dim=1)
        network, start = model([[1.0, -1.0, 0.0]]), [[0.9, 0.1, 0.0]]
        by_pattern = explain(PatternShift, network, start, ask(DENSITY), training).latent
        by_weights = explain(LinearShift, network, start, ask(DENSITY)).latent
        assert abs(by_pattern[0, 1].item() - 0.1) < 0.03
        assert by_weights[0, 1].item() > 0.25

    def test_one_image_has_no_covariance(self) -> None:
        with pytest.raises(gvr.Unsupported, match="two training images"):
            explain(PatternShift, model(DOWN), [[1.0, 0, 0]], ask(DENSITY), normal(1, 1, 1, 1))


class TestGrowingSpheres:
    def test_only_needed_coordinates_move(self) -> None:
        made = explain(GrowingSpheres, model(DOWN), [[0.8, 0.3, 0.2]], ask(DENSITY), samples=200)
        assert made.success.tolist() == [True]
        assert made.latent[0, 1:].tolist() == pytest.approx([0.3, 0.2])
        assert 0.35 < made.latent[0, 0].item() < 0.5  # the threshold

    def test_draws_fill_the_layer(self) -> None:
        search = GrowingSpheres(GrowingSpheres.Settings(samples=4000))
        rng = torch.Generator().manual_seed(1)
        lengths = search.draws(torch.tensor([1.0]), torch.tensor([2.0]), 3, rng)[0].norm(dim=1)
        assert 1 <= lengths.min() < lengths.max() <= 2
        # of the volume between radius 1 and 2, (1.5^3 - 1) / (2^3 - 1) lies within 1.5
        assert (lengths < 1.5).float().mean().item() == pytest.approx(2.375 / 7, abs=0.02)

    def test_distant_flip_needs_layers(self) -> None:
        z, target = [[1.0, 0.0, 0.0]], ask(DENSITY, threshold=-3.0)
        near = explain(GrowingSpheres, model(DOWN), z, target, layers=2)
        assert near.reason == ("no draw within 1.5 lengths of the latent flips the image",)
        assert not near.attribution.any()
        far = explain(GrowingSpheres, model(DOWN), z, target, layers=10)
        assert far.latent[0, 0].item() < -3
        assert far.steps.item() > near.steps.item()

    def test_flipped_image_is_unchanged(self) -> None:
        made = explain(GrowingSpheres, model(DOWN), [[0.2, 0.5, 0.5]], ask(DENSITY))
        assert made.steps.tolist() == [0]
        assert not made.attribution.any()


class TestAttFind:
    TRAINING = normal(60, 0.6, 0.2, 0.4)

    def test_axis_of_the_model_is_found(self) -> None:
        made = explain(AttFind, model(DOWN), [[0.7, 0.1, 0.2]], ask(DENSITY), self.TRAINING)
        assert made.success.tolist() == [True]
        assert made.steps.tolist() == [1]
        moved = (made.latent - torch.tensor([[0.7, 0.1, 0.2]]))[0]
        assert moved[0] < -1
        assert moved[1:].norm() < 0.2 * moved[0].abs()
        assert "principal axes that alone flip training images of density: axis 1" in made.note

    def test_move_ends_at_the_extreme(self) -> None:
        z = torch.tensor([[-1.0, 0, 0], [0.8, 0, 0], [0.2, 0, 0.0]])
        made = explain(AttFind, model(DOWN), [[0.7, 0.0, 0.0]], ask(DENSITY), z, axes=1)
        assert made.latent[0, 0].item() == pytest.approx(-1, abs=1e-5)

    def test_direction_for_the_rest_comes_next(self) -> None:
        """Direction 1 has the second largest mean, but direction 2 moves the image left over."""
        fall = torch.tensor([[3.0, 2.9, 0.0, 9.0], [3.0, 2.9, 0.0, -9.0], [0.0, 0.1, 1.0, -3.0]])
        reached = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0]]).bool()
        assert choose(reached, fall, torch.tensor([0, 1, 2, 3]), 2) == [0, 2]
        assert choose(reached, fall, torch.tensor([0, 1, 0, 3]), 2) == [0, 1]  # one per axis

    def test_no_image_of_the_source(self) -> None:
        with pytest.raises(gvr.Unsupported, match="predicts no decoded training image"):
            explain(AttFind, model(DOWN), [[0.7, 0, 0]], ask(DENSITY), self.TRAINING * 0)

    def test_table_is_made_once_for_all_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made, table = [], AttFind.table
        monkeypatch.setattr(AttFind, "table", lambda *a: made.append(1) or table(*a))
        images, labels = Stripes()(self.TRAINING), np.arange(len(self.TRAINING))[:, None] % 2
        known = Reference(model(DOWN), DENSITY, labels.astype(np.float32), lambda i: images[i])
        ctx = dataclasses.replace(context(), _reference=known)
        explainer = AttFind(AttFind.Settings())
        for z in ([[0.7, 0.1, 0.2]], [[0.6, 0.2, 0.2]]):
            explainer.explain(model(DOWN), Stripes()(Tensor(z)), ask(DENSITY), ctx)
        assert len(made) == 1


class TestDive:
    # Either of two rows lowers the output.
    NETWORK, Z = model([[1.0, 1.0, 0.0]]), [[0.6, 0.6, 0.3]]

    def dive(self, **settings: Any) -> gvr.Explanation:
        chosen = {"counterfactuals": 2, "proximity": 0.1, "sparsity": 0.0, "noise": 0.3} | settings
        return explain(Dive, self.NETWORK, self.Z, ask(DENSITY), **chosen)

    def test_squared_cosines(self) -> None:
        change = torch.tensor([[[2.0, 0.0], [3.0, 3.0], [0.0, 1.0]]])
        torch.testing.assert_close(alike(change), torch.tensor([[0.5, 1.0, 0.5]]))

    def test_weight_makes_changes_differ(self) -> None:
        def cosine(weight: float) -> float:
            made = self.dive(diversity=weight, steps=100)
            images = torch.cat([made.counterfactual[:, None], made.alternatives], dim=1)
            change = (images - Stripes()(Tensor(self.Z))[:, None]).flatten(2)
            return F.cosine_similarity(change[0, 0], change[0, 1], dim=0).item() ** 2

        assert cosine(20.0) < 0.5 * cosine(0.0)

    def test_nearest_flip_comes_first(self) -> None:
        made = self.dive(counterfactuals=4)
        assert made.alternatives.shape == (1, 3, 1, 4, 4)
        before = Stripes()(Tensor(self.Z))
        images = [made.counterfactual, *made.alternatives.unbind(1)]
        flips = [ask(DENSITY).reached_target(self.NETWORK(image)).item() for image in images]
        lengths = [(image - before).abs().mean().item() for image in images]
        assert flips[0]
        assert lengths[0] == min(of for of, flip in zip(lengths, flips, strict=True) if flip)

    def test_final_latents_are_decoded_once(self) -> None:
        decoded = []
        hook = self.NETWORK.generator.register_forward_hook(lambda *a: decoded.append(len(a[2])))
        try:
            self.dive(counterfactuals=4, steps=1)
        finally:
            hook.remove()
        assert decoded == [1, 4, 4, 4]  # the image, before and after one step, the end


class TestRationaleGradient:
    def test_linear_model_shares_the_change(self) -> None:
        z = [[1.0, 0.5, 0.25]]
        network = model([[3.0, 4.0, 0.0]], [-2.0])
        made = explain(RationaleGradient, network, z, ask(DENSITY), explainer="linear-shift")
        x = Stripes()(Tensor(z))
        weights = torch.tensor([3.0, 4.0, 0.0, 0.0])[:, None].expand(4, 4) / 4
        expected = weights * (x - made.counterfactual)[:, 0]
        torch.testing.assert_close(made.attribution, expected)

    @pytest.mark.parametrize("base", ["latent-shift", "adversarial"])
    def test_map_is_complete(self, base: str) -> None:
        settings = {"base": {"residual": True} if base == "latent-shift" else {}}
        z, target = [[0.9, 0.2, 0.4]], ask(DENSITY, threshold=0.6, reference_value=0.55)
        made = explain(RationaleGradient, curved(), z, target, explainer=base, **settings)
        network = curved()
        fall = network(Stripes()(Tensor(z))) - network(made.counterfactual)
        assert fall.item() > 0.1
        assert made.attribution.sum().item() == pytest.approx(fall.item(), rel=1e-3)

    def test_map_without_counterfactual_is_refused(self) -> None:
        with pytest.raises(gvr.UsageError, match="name an explainer that makes counterfactuals"):
            explain(
                RationaleGradient, model(DOWN), [[1.0, 0, 0]], ask(DENSITY),
                explainer="saliency",
            )  # fmt: skip

    def test_claim_needs_residual_composition(self) -> None:
        def claim(**settings: Any) -> object:
            made = RationaleGradient(RationaleGradient.Settings(**settings))
            return made.completeness_baseline

        assert claim() == "counterfactual"
        assert claim(base={"residual": False}) is None
