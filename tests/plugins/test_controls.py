"""Controls that see training images: what they return is worked out by hand or by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gvr_explainers import batching
from gvr_explainers.adversarial import Adversarial
from gvr_explainers.class_shift import ClassShift
from gvr_explainers.nearest_unlike import LOST, NONE, NearestUnlike
from gvr_explainers.shifted_copies import agreement, shifted
from gvr_explainers.template import Template
from small_parts import frozen
from test_gvr import BINARY, DENSITY, THREE, Brightness, Stripes, ask, model
from torch import Tensor, nn

import gvr_bench.api as gvr

TWO = gvr.Task("multilabel", ("mass", "fluid"))
DOWN = [[1.0, 0.0, 0.0]]  # the prediction is the brightness of the first row


def reference(
    network: gvr.Model, task: gvr.Task, z: Tensor, targets: list[list[float]]
) -> gvr.Reference:
    """The training images that these latents (M, 3) decode to, with their labels."""
    images = Stripes()(z)
    return gvr.Reference(
        network, task, np.asarray(targets, np.float32), lambda index: images[index], 2
    )


def explain(
    explainer: gvr.Explainer,
    network: gvr.Model,
    z: list[list[float]] | Tensor,
    target: gvr.ExplanationTarget,
    known: gvr.Reference | None = None,
) -> gvr.Explanation:
    """Explain the images that these latents decode to."""
    ctx = gvr.Context(torch.device("cpu"), _reference=known)
    return explainer.explain(network, Stripes()(torch.as_tensor(z)), target, ctx)


def drawn(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))


class TestTemplate:
    Z = torch.tensor([[0.9, 0.2, 0.0], [0.7, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.2, 0.4]])

    def template(self, task: gvr.Task, targets: list[list[float]], target: gvr.ExplanationTarget):
        known = reference(model(DOWN), task, self.Z, targets)
        z = drawn(len(target))
        return explain(Template(None), model(DOWN), z, target, known).attribution

    def test_difference_of_class_means(self) -> None:
        maps = self.template(BINARY, [[1], [1], [0], [0]], ask(BINARY, 5))
        expected = torch.tensor([0.7, 0.0, -0.2, 0.0])[:, None].expand(4, 4)
        torch.testing.assert_close(maps, expected.expand(5, 4, 4))

    def test_images_without_label_are_left_out(self) -> None:
        maps = self.template(BINARY, [[1], [np.nan], [np.nan], [0]], ask(BINARY))
        torch.testing.assert_close(maps[0, :, 0], torch.tensor([0.9, 0.0, -0.4, 0.0]))

    def test_source_class_minus_target_class(self) -> None:
        maps = self.template(THREE, [[0], [2], [1], [2]], ask(THREE, target=1))
        torch.testing.assert_close(maps[0, :, 0], torch.tensor([0.7, 0.2, 0.0, 0.0]))

    def test_each_output_has_its_template(self) -> None:
        both = torch.tensor([0, 1, 0])
        half = torch.full((3,), 0.5)
        target = gvr.ExplanationTarget(TWO, both, both, half, half)
        maps = self.template(TWO, [[1, 0], [1, 1], [0, 1], [0, 0]], target)
        torch.testing.assert_close(maps[0, :, 0], torch.tensor([0.7, 0.0, -0.2, 0.0]))
        torch.testing.assert_close(maps[1, :, 0], torch.tensor([0.0, -0.2, -0.2, 0.0]))
        assert torch.equal(maps[2], maps[0])

    def test_regression_is_cut_at_its_threshold(self) -> None:
        maps = self.template(DENSITY, [[0.9], [0.5], [0.4], [0.1]], ask(DENSITY))
        torch.testing.assert_close(maps[0, :, 0], torch.tensor([0.7, 0.0, -0.2, 0.0]))

    @pytest.mark.parametrize(
        ("task", "targets", "reason"),
        [
            (BINARY, [[np.nan]] * 4, "with 'mass'"),
            (BINARY, [[0]] * 4, "with 'mass'"),
            (BINARY, [[1]] * 4, "without 'mass'"),
            (THREE, [[0], [0], [2], [2]], "of class '7'"),
            (DENSITY, [[0.1]] * 4, "with 'density'"),
        ],
    )
    @pytest.mark.parametrize("explainer", [Template(None), ClassShift(ClassShift.Settings())])
    def test_one_class_is_unsupported(self, explainer, task, targets, reason) -> None:
        network = model(DOWN if task is not THREE else [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
        known = reference(network, task, self.Z, targets)
        target = ask(task, target=int(task is THREE))
        with pytest.raises(gvr.Unsupported, match=f"no training image is labelled as one {reason}"):
            explain(explainer, network, drawn(1), target, known)


class TestAdversarial:
    def attack(self, network: gvr.Model, z, target: gvr.ExplanationTarget, **settings: float):
        """Without shifted copies, unless chosen."""
        settings = {"views": 1, **settings}
        return explain(Adversarial(Adversarial.Settings(**settings)), network, z, target)

    def test_linear_model_is_flipped_in_the_ball(self) -> None:
        made = self.attack(model(DOWN), [[0.53, 0.1, 0.2]], ask(DENSITY), radius=0.05)
        change = (Stripes()(torch.tensor([[0.53, 0.1, 0.2]])) - made.counterfactual)[0, 0]
        # Of 16 pixels only the 4 of the first row count: 0.03 each is 0.015 root mean square.
        assert 0.015 <= change.square().mean().sqrt() <= 0.015 + 0.005
        torch.testing.assert_close(change[0], change[0, :1].expand(4))
        assert not change[1:].any()
        assert torch.equal(made.attribution[0], change)
        assert (made.success.tolist(), made.steps.tolist()) == ([True], [4])
        assert made.reason == ("",)

    def test_ball_is_never_left(self) -> None:
        made = self.attack(model(DOWN), drawn(6) * 0.4 + 0.6, ask(DENSITY, 6), radius=0.02)
        assert made.success.tolist() == [False] * 6
        change = made.attribution.flatten(1).square().mean(1).sqrt()
        assert change.max() <= 0.02 + 1e-6
        assert made.reason[0] == "not reached within a root mean square change of 0.02 in 40 steps"

    def test_map_is_the_mean_over_shifted_copies(self) -> None:
        network, z, target = model(DOWN), torch.tensor([[0.53, 0.1, 0.2]]), ask(DENSITY)
        alone = self.attack(network, z, target)
        averaged = self.attack(network, z, target, views=2, shift=0.25)
        attack = Adversarial(Adversarial.Settings(views=1))
        image = shifted(Stripes()(z), 1, 1)
        copy = attack.explain(network, image, target, gvr.Context(torch.device("cpu")))
        back = shifted(copy.attribution[:, None], -1, -1)[:, 0]
        torch.testing.assert_close(averaged.attribution, agreement([alone.attribution, back]))
        assert not torch.allclose(averaged.attribution, alone.attribution)
        assert torch.equal(averaged.counterfactual, alone.counterfactual)
        assert torch.equal(averaged.steps, alone.steps + copy.steps)

    def test_image_stays_in_range(self) -> None:
        made = self.attack(model(DOWN), [[-0.99, 0.0, 0.0]], ask(DENSITY, threshold=-2.0))
        assert made.counterfactual.min() == -1.0

    def test_reached_image_is_unchanged(self) -> None:
        made = self.attack(model(DOWN), [[0.2, 0.0, 0.0]], ask(DENSITY))
        assert made.steps.tolist() == [0]
        assert not made.attribution.any()

    def test_flat_model_is_no_success(self) -> None:
        made = self.attack(model([[0.0, 0.0, 0.0]], [0.9]), [[0.5, 0.5, 0.5]], ask(DENSITY))
        assert made.success.tolist() == [False]
        assert not made.attribution.any()

    def test_target_class_is_reached(self) -> None:
        rows = [[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0]]
        made = self.attack(model(rows), [[0.5, 0.48, 0.49]], ask(THREE, target=1))
        assert made.success.tolist() == [True]
        assert model(rows)(made.counterfactual).argmax(1).tolist() == [1]

    def test_batches_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        z, target = drawn(7) * 0.1 + 0.48, ask(DENSITY, 7)
        before = self.attack(model(DOWN), z, target)
        monkeypatch.setattr(batching, "CPU_BUDGET", 1)
        after = self.attack(model(DOWN), z, target)
        torch.testing.assert_close(before.counterfactual, after.counterfactual)
        assert torch.equal(before.steps, after.steps)


class TestNearestUnlike:
    def test_equals_brute_force(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gvr_explainers.nearest_unlike.MAX_CELLS", 64)  # two images a time
        network, z, train = model([[1.0, 1.0, 0.0]]), drawn(9), drawn(30, seed=1)
        thresholds = torch.linspace(0.4, 1.2, 9)
        source = torch.zeros(9, dtype=torch.int64)
        target = gvr.ExplanationTarget(DENSITY, source, source, thresholds, thresholds)
        known = reference(network, DENSITY, train, [[0.0]] * 30)
        made = explain(NearestUnlike(None), network, z, target, known)
        for i in range(9):
            below = [t for t in train if t[0] + t[1] < thresholds[i]]
            best = min(below, key=lambda t: float((t - z[i]).square().sum()))
            torch.testing.assert_close(made.latent[i], best)
            assert made.success[i]
        torch.testing.assert_close(made.counterfactual, Stripes()(made.latent))
        change = (Stripes()(z) - Stripes()(made.latent)).mean(1)
        torch.testing.assert_close(made.attribution, change)

    def test_no_image_on_the_target_side(self) -> None:
        network = model(DOWN)
        known = reference(network, DENSITY, drawn(4) + 1.0, [[np.nan]] * 4)
        made = explain(NearestUnlike(None), network, [[0.9, 0.0, 0.0]], ask(DENSITY), known)
        assert (made.success.tolist(), made.reason) == ([False], (NONE,))
        assert not made.attribution.any()

    def test_prediction_lost_by_decoding(self) -> None:
        """A network of images sees the training image, and behind the decoder another one."""
        network = gvr.Model(
            frozen(Brightness()), frozen(Stripes()), model(DOWN, [0.5]).head,
            classifier=nn.Sequential(frozen(Brightness()), model(DOWN).head),
        )  # fmt: skip
        known = reference(network, DENSITY, torch.tensor([[0.2, 0.0, 0.0]]), [[0.0]])
        made = explain(NearestUnlike(None), network, [[0.9, 0.0, 0.0]], ask(DENSITY), known)
        assert (made.success.tolist(), made.reason) == ([False], (LOST,))


class TestClassShift:
    TRAIN = torch.tensor([[0.8, 0.0, 0.2], [0.6, 0.2, 0.2], [0.2, 0.0, 0.0], [0.0, 0.2, 0.0]])
    LABELS = [[1], [1], [0], [0]]  # the means differ by (0.6, 0, 0.2)

    def shift(self, rows: list[list[float]], z: list[list[float]], **settings: float):
        network = model(rows)
        known = reference(network, DENSITY, self.TRAIN, self.LABELS)
        explainer = ClassShift(ClassShift.Settings(**settings))
        return explain(explainer, network, z, ask(DENSITY, len(z)), known)

    def test_smallest_t_of_linear_head(self) -> None:
        z = torch.tensor([[0.8, 0.1, 0.2], [1.4, 0.5, 0.5]])
        made = self.shift(DOWN, z.tolist(), bisections=20)
        # 0.8 - 0.6 t < 0.5 from t = 0.5 on, 1.4 - 0.6 t < 0.5 from t = 1.5 on
        expected = z - torch.tensor([[0.5], [1.5]]) * torch.tensor([0.6, 0.0, 0.2])
        torch.testing.assert_close(made.latent, expected, atol=1e-5, rtol=0)
        assert (made.latent[:, 0] < 0.5).all()
        assert made.success.tolist() == [True, True]
        torch.testing.assert_close(made.counterfactual, Stripes()(made.latent))

    def test_no_t_flips(self) -> None:
        made = self.shift(DOWN, [[3.0, 0.0, 0.0]], limit=4)  # 3 - 2.4 is above 0.5
        assert made.success.tolist() == [False]
        assert made.reason == ("no t up to 4 changes the prediction",)
        assert not made.attribution.any()

    def test_first_of_several_flips(self) -> None:
        """|0.5 - first row| is above the threshold, then below, and above again."""

        class Fold(nn.Module):
            def forward(self, z: Tensor) -> Tensor:
                return (z[:, :1] + 0.4).abs()

        network = gvr.Model(frozen(Brightness()), frozen(Stripes()), Fold())
        known = reference(network, DENSITY, self.TRAIN, self.LABELS)
        explainer = ClassShift(ClassShift.Settings(bisections=20))
        made = explain(explainer, network, [[0.7, 0.0, 0.0]], ask(DENSITY), known)
        assert made.latent[0, 0].item() == pytest.approx(0.1, abs=1e-4)

    def test_reached_image_is_unchanged(self) -> None:
        made = self.shift(DOWN, [[0.2, 0.0, 0.0]])
        assert made.success.tolist() == [True]
        assert not made.attribution.any()
