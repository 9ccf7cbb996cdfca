from __future__ import annotations

import math

import pydantic
import pytest
import torch
from gvr_explainers import batching, robust
from gvr_explainers.robust import GvrRobust, jitter, shorten_by_place
from gvr_explainers.shifted_copies import agreement, shifted
from small_parts import context, frozen, same, weights
from test_gvr import BINARY, BNP, DENSITY, THREE, Brightness, Stripes, ask, model
from torch import Tensor

import gvr_bench.api as gvr


class Bright(Stripes):
    """A decoder that cannot show a brightness below 0.5."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z.clamp_min(0.5))


def fooled(rows: list[list[float]]) -> gvr.Model:
    """A model whose latent can say what its picture cannot show."""
    return gvr.Model(frozen(Brightness()), frozen(Bright()), model(rows).head)


def explain(
    model: gvr.Model,
    z: list[list[float]],
    target: gvr.ExplanationTarget,
    seed: int = 0,
    **settings: object,
) -> gvr.Explanation:
    """Explain the images that these latents decode to, without jitter or penalty unless chosen."""
    chosen = {"penalty": 0.0, "noise": 0.0, "shift": 0.0, "steps": 60, **settings}
    explainer = GvrRobust(GvrRobust.Settings(**chosen))
    return explainer.explain(model, Stripes()(Tensor(z)), target, context(seed))


def test_flipping_latent_alone_is_no_arrival():
    target = ask(DENSITY, threshold=0.6, reference_value=0.3)
    explanation = explain(fooled([[1.0, 0.0, 0.0]]), [[0.9, 0.2, 0.2]], target)
    assert explanation.success.tolist() == [False]
    assert -0.5 < explanation.latent[0, 0] < 0.3  # past its goal nothing but momentum moves it
    assert explanation.steps.tolist() == [60]
    assert explanation.reason == ("still 0.2 from the goal after 60 steps",)


def test_reached_image_is_unchanged():
    explanation = explain(model([[1.0, 0.0, 0.0]]), [[0.2, 1, 1], [1, 0, 0]], ask(DENSITY, 2))
    assert explanation.steps[0] == 0
    assert explanation.steps[1] > 0
    assert explanation.success.tolist() == [True, True]
    assert torch.equal(explanation.latent[0], Tensor([0.2, 1, 1]))
    assert not explanation.attribution[0].any()


def test_attribution_is_positive_for_added_density():
    explanation = explain(model([[1.0, -1.0, 0.0]]), [[1, 0, 0.5]], ask(DENSITY))
    down, up, still = explanation.attribution[0, :3, 0].tolist()
    assert down > 0.2
    assert up == pytest.approx(-down)
    assert still == 0


def test_regression_stops_at_reference_value():
    limit = math.log(50) / 10
    target = ask(BNP, threshold=math.log(100) / 10, reference_value=limit)
    explanation = explain(model([[1.0, 0.0, 0.0]]), [[0.7, 0, 0]], target, learning_rate=0.01)
    assert explanation.success.tolist() == [True]
    assert limit - 0.02 <= explanation.latent[0, 0].item() <= limit


@pytest.mark.parametrize(
    ("confidence", "reference_value", "least"),
    [(0.9, 0.001, 0.9), (0.99, 0.2, 0.8), (0.9, 0.8, 0.5)],
)
def test_class_is_reached_with_confidence(confidence, reference_value, least):
    head = model([[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    target = ask(THREE, reference_value=reference_value, target=1)
    explanation = explain(
        head, [[1, 0, 0]], target, confidence=confidence, learning_rate=0.01, steps=400
    )
    assert explanation.success.tolist() == [True]
    reached = head.head(explanation.latent).softmax(1)[0, 1].item()
    assert least <= reached <= least + 0.02


def test_logits_escape_saturated_class():
    """Here the probability of the source is 1 to the last bit, and its slope is 0."""
    head = model([[200, 0, 0], [0, 200, 0], [0, 0, 0]])
    target = ask(THREE, reference_value=0.001, target=1)
    explanation = explain(head, [[1, 0, 0]], target)
    assert explanation.success.tolist() == [True]


@pytest.mark.parametrize("reference_value", [0.0, 0.2])
def test_binary_stops_at_reference_probability(reference_value):
    explanation = explain(
        model([[20.0, 0.0, 0.0]]),
        [[0.5, 0, 0]],
        ask(BINARY, reference_value=reference_value),
        learning_rate=0.01,
    )
    assert explanation.success.tolist() == [True]
    reached = torch.sigmoid(20 * explanation.latent[0, 0]).item()
    assert reached <= max(reference_value, 1e-4) * 1.001


def test_relaxing_penalty_allows_larger_change():
    linear, z = model([[1.0, 1.0, 0.0]]), [[1, 0.1, 0]]
    steps = [
        explain(linear, z, ask(DENSITY), penalty=200.0, relax=relax, steps=300).steps.item()
        for relax in (0.9, 0.95, 1.0)
    ]
    assert steps[0] < steps[1] < steps[2] == 300


class Places(Stripes):
    """The decoder whose latents are a map of one number at three places."""

    latent_shape = (1, 1, 3)


@pytest.mark.parametrize(("sparsity", "moved"), [(0.0, [True, True]), (1.0, [True, False])])
def test_sparse_change_leaves_weak_places(sparsity, moved):
    head = model([[1.0, 0.2, 0.0]]).head
    sparse = gvr.Model(frozen(Brightness()), frozen(Places()), head)
    how = {"sparsity": sparsity, "relax": 1.0, "learning_rate": 0.02, "steps": 200}
    explanation = explain(sparse, [[1.0, 0.5, 0.5]], ask(DENSITY), **how)
    assert explanation.success.tolist() == [True]
    change = explanation.latent[0] - Tensor([1.0, 0.5, 0.5])
    assert (change[:2].abs() > 1e-6).tolist() == moved


def test_places_shorten_as_groups():
    start, z = torch.zeros(1, 8), torch.zeros(1, 8)
    z[0, 0], z[0, 4], z[0, 1] = 3.0, 4.0, 0.5  # (2, 2, 2): two numbers of one place, and another
    short = shorten_by_place(z, start, (2, 2, 2), 1.0)
    assert short[0].tolist() == pytest.approx([2.4, 0, 0, 0, 3.2, 0, 0, 0])


class Blocks(torch.nn.Module):
    """A decoder that draws each of 4 x 4 numbers as a block of 4 x 4 pixels."""

    latent_dim, latent_shape = 16, (1, 4, 4)

    def forward(self, z: Tensor) -> Tensor:
        return z.view(-1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)


def blocks_model() -> gvr.Model:
    pooled = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    head = torch.nn.Linear(16, 1)
    torch.nn.init.constant_(head.weight, 0.5)
    return gvr.Model(frozen(pooled), frozen(Blocks()), frozen(head))


def test_map_is_the_mean_over_shifted_copies():
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen, target = blocks_model(), ask(DENSITY, 2)

    def explained(views: int, image: Tensor) -> gvr.Explanation:
        settings = GvrRobust.Settings(views=views, noise=0.0, shift=0.0)
        return GvrRobust(settings).explain(seen, image, target, context())

    alone, averaged = explained(1, x), explained(3, x)
    others = [explained(1, shifted(x, by, by)) for by in (1, -1)]
    back = [
        shifted(o.attribution[:, None], -by, -by)[:, 0]
        for o, by in zip(others, (1, -1), strict=True)
    ]
    expected = agreement([alone.attribution, *back])
    torch.testing.assert_close(averaged.attribution, expected)
    assert not torch.allclose(averaged.attribution, alone.attribution)
    assert torch.equal(averaged.counterfactual, alone.counterfactual)
    assert torch.equal(averaged.steps, alone.steps + others[0].steps + others[1].steps)


def test_copies_of_a_failed_search_are_not_tried():
    noise = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    x = torch.cat([noise - 0.9, noise])

    def explained(views: int) -> gvr.Explanation:
        settings = GvrRobust.Settings(views=views, steps=4)
        return GvrRobust(settings).explain(blocks_model(), x, ask(DENSITY, 2), context())

    alone, averaged = explained(1), explained(5)
    assert alone.success.tolist() == averaged.success.tolist() == [True, False]
    assert torch.equal(averaged.attribution[1], alone.attribution[1])
    assert averaged.steps[1] == alone.steps[1] == 4


def test_disagreement_lowers_a_map():
    maps = [torch.tensor([[[2.0, 3.0, 1.0]]]), torch.tensor([[[2.0, 1.0, -1.0]]])]
    expected = [2.0, 2 * 2 / (2 + math.sqrt(2)), 0.0]
    assert agreement(maps)[0, 0].tolist() == pytest.approx(expected)


def test_latents_without_places_have_one_view():
    seen, z = model([[1.0, 0.0, 0.0]]), [[1.0, 0.2, 0.2]]
    one, many = (explain(seen, z, ask(DENSITY), views=n).attribution for n in (1, 5))
    assert torch.equal(one, many)


def test_shift_repeats_the_border():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    assert shifted(image, 1, -1)[0, 0].tolist() == [[1, 2, 2], [1, 2, 2], [4, 5, 5]]


@pytest.mark.parametrize("residual", [False, True])
def test_residual_keeps_what_decoder_loses(residual):
    x = Stripes()(Tensor([[1.0, 0.2, 0.2]]))
    x[:, :, 0, 0] += 0.1  # no latent draws this
    explainer = GvrRobust(GvrRobust.Settings(residual=residual, noise=0.0, shift=0.0))
    seen = model([[1.0, 0.0, 0.0]])
    explanation = explainer.explain(seen, x, ask(DENSITY), context())
    before, after = seen.generator(seen.encoder(x)), seen.generator(explanation.latent)
    expected = gvr.compose(x, before, after) if residual else after
    torch.testing.assert_close(explanation.counterfactual, expected)
    assert explanation.residual == residual
    torch.testing.assert_close(explanation.attribution, (before - after).mean(1))


@pytest.mark.parametrize(("decoder", "composed"), [(Stripes, False), (Places, True)])
@pytest.mark.parametrize("set_to", [None, False, True])
def test_pictures_are_composed_where_latents_have_places(decoder, composed, set_to):
    seen = gvr.Model(frozen(Brightness()), frozen(decoder()), model([[1.0, 0.0, 0.0]]).head)
    explanation = explain(seen, [[1.0, 0.2, 0.2]], ask(DENSITY), residual=set_to)
    assert explanation.residual == (composed if set_to is None else set_to)


def test_jitter_has_requested_size():
    rng = torch.Generator().manual_seed(0)
    picture = torch.zeros(2, 1, 8, 8)
    picture[:, :, 4, 4] = 1.0
    places = set()
    for _ in range(200):
        moved = jitter(picture, 2, 0.0, rng)
        assert torch.equal(moved[0], moved[1])
        assert moved[0].sum() == 1
        places.add(tuple(int(i) for i in moved[0, 0].nonzero()[0]))
    assert places == {(y, x) for y in range(2, 7) for x in range(2, 7)}
    noisy = jitter(torch.zeros(1, 3, 64, 64), 0, 0.3, rng)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.03)
    assert jitter(picture, 0, 0.0, rng) is picture


def test_jitter_depends_on_seed():
    linear = model([[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    plain, noisy, other, again = (
        explain(
            linear, [[1, 0.3, 0.4]], ask(THREE, reference_value=0.1, target=1), seed, noise=noise
        )
        for seed, noise in ((0, 0.0), (0, 0.5), (1, 0.5), (0, 0.5))
    )
    assert torch.equal(noisy.latent, again.latent)
    assert not torch.equal(noisy.latent, plain.latent)
    assert not torch.equal(noisy.latent, other.latent)


def test_each_step_draws_new_jitter(monkeypatch):
    seeds, sizes = [], set()

    def watched(picture: Tensor, reach: int, noise: float, rng: torch.Generator) -> Tensor:
        seeds.append(rng.initial_seed())
        sizes.add((reach, noise))
        return jitter(picture, reach, noise, rng)

    monkeypatch.setattr(robust, "jitter", watched)
    explanation = explain(model([[1.0, 0, 0]]), [[1, 0, 0]], ask(DENSITY), shift=0.3, noise=0.2)
    assert len(seeds) > explanation.steps.item() > 5
    assert len(set(seeds)) == len(seeds)
    assert sizes == {(1, 0.2)}


@pytest.mark.parametrize("task", [BINARY, DENSITY, THREE], ids=lambda task: task.kind)
def test_batch_does_not_change_results(task, monkeypatch):
    monkeypatch.setattr(batching, "CPU_BUDGET", 2 * 4 * 16 * 128)  # two images at once
    linear = model([[1.0, -0.5, 0.2], [0.1, 1.0, 0.3], [0.0, 0.2, 0.1]][: len(task.outputs)])
    latents = [[1.0, 0.1, 0.4], [0.1, -0.9, 0.0], [3.0, -1.0, 2.0]]
    target = ask(task, 3, target=int(task == THREE))
    how = {"noise": 0.3, "shift": 0.25, "penalty": 1.0}
    together = explain(linear, latents, target, **how)
    assert len(set(together.steps.tolist())) > 1
    for i, z in enumerate(latents):
        alone = explain(linear, [z], target[i : i + 1], **how)
        torch.testing.assert_close(together.attribution[i], alone.attribution[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.latent[i], alone.latent[0], rtol=0, atol=1e-5)
        assert together.steps[i] == alone.steps[0]
        assert together.reason[i] == alone.reason[0]


def test_model_is_unchanged_without_gradients():
    linear = model([[1.0, 0.0, 0.0]])
    before = weights(linear.head)
    explanation = explain(linear, [[1, 0, 0]], ask(DENSITY), penalty=0.1, noise=0.1)
    assert same(weights(linear.head), before)
    assert all(weight.grad is None for weight in linear.head.parameters())
    assert not any(
        t.requires_grad
        for t in (explanation.attribution, explanation.counterfactual, explanation.latent)
    )


@pytest.mark.parametrize(
    "wrong",
    [{"confidence": 1.0}, {"confidence": 0.4}, {"relax": 0.0}, {"relax": 1.1},
     {"noise": -0.1}, {"shift": 0.5}, {"sparsity": -1.0}, {"steps": 0}],
)  # fmt: skip
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(pydantic.ValidationError, match=next(iter(wrong))):
        GvrRobust.Settings(**wrong)


class Calls(torch.nn.Module):
    """A network that notes of how many inputs it was asked each time."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.counts = net, []
        self.latent_dim = getattr(net, "latent_dim", None)

    def forward(self, x: Tensor) -> Tensor:
        self.counts.append(len(x))
        return self.net(x)


def watched(*, of_images: bool) -> gvr.Model:
    """A model whose networks are `Calls`; its head sees latents, or images."""
    parts = model([[1.0, 0.0, 0.0]])
    generator, encoder = Calls(parts.generator), Calls(parts.encoder)
    if not of_images:
        return gvr.Model(encoder, generator, parts.head)
    classifier = Calls(torch.nn.Sequential(parts.encoder, parts.head))
    return gvr.Model(encoder, generator, torch.nn.Sequential(generator, classifier), classifier)


def test_network_of_images_is_asked_twice_a_step():
    asked = watched(of_images=True)
    explain(asked, [[0.9, 0, 0]], ask(DENSITY, reference_value=-5.0), steps=10)
    few = [len(net.counts) for net in (asked.generator, asked.classifier)]
    explain(asked, [[0.9, 0, 0]], ask(DENSITY, reference_value=-5.0), steps=20)
    more = [len(net.counts) for net in (asked.generator, asked.classifier)]
    assert [b - 2 * a for a, b in zip(few, more, strict=True)] == [10, 20]


def test_image_is_encoded_cleanly_once_its_latent_is_there():
    asked = watched(of_images=False)
    explain(asked, [[0.9, 0, 0]], ask(DENSITY, reference_value=-5.0), steps=10)
    few = len(asked.encoder.counts)
    explain(asked, [[0.9, 0, 0]], ask(DENSITY, reference_value=-5.0), steps=20)
    assert len(asked.encoder.counts) - 2 * few == 10  # the jittered images alone
    asked.encoder.counts.clear()
    made = explain(asked, [[0.9, 0, 0]], ask(DENSITY), steps=20)
    assert made.success.tolist() == [True]
    beside = few - 11  # of the start, the distance there, and the end
    assert len(asked.encoder.counts) == beside + made.steps.item() + 1 + 1
