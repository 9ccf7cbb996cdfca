from __future__ import annotations

import dataclasses
import time

import pytest
import torch
from captum.attr import IntegratedGradients
from captum.metrics import infidelity as captum_infidelity
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_inputs import BINARY, one_case
from made_up_model import BNP, CLASSES, Outputs, about, convolving, model_of, sum_of
from scipy.stats import wilcoxon
from torch import Tensor, nn

from gvr_bench.core.types import Model
from gvr_bench.metrics.faithfulness import (
    DRAWS,
    GROUP,
    REDRAWN_STEPS,
    completeness_gap,
    cout,
    deletion_auc,
    deletion_in_distribution,
    infidelity,
    insertion_auc,
    response_to_noise,
    symmetric_relevance_gain,
    unexplained,
)
from gvr_bench.metrics.model_queries import MAX_IMAGES, STEPS, activated, normals, ranks
from gvr_bench.metrics.robustness import invalidation

FOUR = ((0, 0), (3, 7), (5, 5), (9, 1))
WHITE = torch.ones(1, 1, 10, 10)
# 100 pixels in 25 steps are 4 a step: the four pixels go in the first, a fall from 1 to 0.
FIRST_STEP = 1 / (2 * STEPS)
FIRST_REDRAWN_STEP = 1 / (2 * REDRAWN_STEPS)


def test_cout_needs_a_counterfactual():
    assert cout(about(sum_of(*FOUR), WHITE, torch.zeros(1, 10, 10))) is None


def test_the_order_of_pixels_sets_the_area():
    weights = sum_of(*FOUR)
    best = about(weights, WHITE, weights[0])
    worst = about(weights, WHITE, -weights[0])
    assert deletion_auc(best).tolist() == pytest.approx([FIRST_STEP])
    assert deletion_auc(worst).tolist() == pytest.approx([1 - FIRST_STEP])
    assert insertion_auc(best).tolist() == pytest.approx([1 - FIRST_STEP])
    assert insertion_auc(worst).tolist() == pytest.approx([FIRST_STEP])


def test_a_constant_map_scores_chance():
    whole = torch.full((1, 1, 10, 10), 0.01)
    constant = about(whole, WHITE, torch.full((1, 10, 10), 3.0))
    assert deletion_auc(constant).tolist() == pytest.approx([0.5])
    assert insertion_auc(constant).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize("half", ["top", "bottom", "left", "right"])
def test_ties_favour_no_image_part(half):
    n = 20
    in_half = torch.zeros(n, n)
    {"top": in_half[:10], "bottom": in_half[10:], "left": in_half[:, :10],
     "right": in_half[:, 10:]}[half].fill_(1 / 200)  # fmt: skip
    seen = about(in_half[None, None], torch.ones(1, 1, n, n), torch.zeros(1, n, n))
    assert deletion_auc(seen).item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("metric", [deletion_auc, insertion_auc])
def test_ties_are_broken_per_image(metric):
    """A constant map is noise: no shuffle that all images share favours or harms it."""
    rng = torch.Generator().manual_seed(0)
    images = torch.empty(80, 1, 10, 10).uniform_(0, 1, generator=rng)
    weights = sum_of((2, 2), (2, 3), (3, 2), (3, 3))  # one place, as of a finding
    constant = metric(about(weights, images, torch.full((80, 10, 10), 3.0)))
    again = metric(about(weights, images, torch.zeros(80, 10, 10)))  # of another explainer
    assert torch.equal(constant, again)
    assert constant.std() > 0.1
    noise = metric(about(weights, images, torch.randn(80, 10, 10, generator=rng)))
    assert wilcoxon(constant, noise).pvalue > 0.05


def test_half_tied_maps_keep_their_order():
    rng = torch.Generator().manual_seed(0)
    images = torch.empty(3, 1, 4, 4).uniform_(-1, 1, generator=rng)
    values = torch.randint(0, 3, (3, 4, 4), generator=rng).float()
    order = ranks(values, images)
    for ranked, of in zip(order.flatten(1), values.flatten(1), strict=True):
        assert of[ranked.argsort()].tolist() == sorted(of.tolist(), reverse=True)
    assert torch.equal(order[1:2], ranks(values[1:2], images[1:2]))


def test_the_symmetric_gain_by_hand():
    weights = sum_of(*FOUR)
    gain = 0.5 - FIRST_STEP
    assert symmetric_relevance_gain(about(weights, WHITE, weights[0])).item() == pytest.approx(gain)
    assert symmetric_relevance_gain(about(weights, WHITE, -weights[0])).item() == pytest.approx(
        -gain
    )


def test_random_maps_gain_nothing():
    rng = torch.Generator().manual_seed(0)
    images = torch.empty(60, 1, 10, 10).uniform_(0.5, 1, generator=rng)
    for maps in (torch.randn(60, 10, 10, generator=rng), torch.zeros(60, 10, 10)):
        assert abs(symmetric_relevance_gain(about(sum_of(*FOUR), images, maps)).mean()) < 0.05


def test_the_decoder_redraws_hot_pixels():
    weights = sum_of(*FOUR)
    for map_, area in ((weights[0], FIRST_REDRAWN_STEP), (-weights[0], 1 - FIRST_REDRAWN_STEP)):
        seen = about(weights, WHITE, map_)  # whose decoder draws black
        assert deletion_in_distribution(seen).tolist() == pytest.approx([area])
        model = model_of(weights, drawn=1.0)  # draws what was there: nothing is deleted
        assert deletion_in_distribution(dataclasses.replace(seen, model=model)).item() == 1


def test_hot_pixels_are_not_seen():
    """The decoder gets the rest of the image alone, however good it is."""
    seen = about(sum_of(*FOUR), WHITE, sum_of(*FOUR)[0])
    copying = Model(nn.Identity(), nn.Identity(), Outputs(sum_of(*FOUR)))
    found = deletion_in_distribution(dataclasses.replace(seen, model=copying))
    assert found.tolist() == pytest.approx([FIRST_REDRAWN_STEP])


def test_models_without_decoders_redraw_nothing():
    seen = about(sum_of(*FOUR), WHITE, torch.zeros(1, 10, 10))
    model = dataclasses.replace(seen.model, has_decoder=False)
    assert deletion_in_distribution(dataclasses.replace(seen, model=model)) is None


def test_the_completeness_gap_by_hand():
    weights, image = 3 * sum_of(*FOUR), torch.full((1, 1, 10, 10), 0.5)
    share = (weights * (image + 1) / 2)[0]  # density times weight sums to the output: 2.25
    for times, baseline, expected in (
        (1, -1.0, 0), (2, -1.0, 1), (0, -1.0, 1), (-1, -1.0, 2),
        (1, 0.0, 2),  # grey is 1.5, so that 0.75 are to be explained and 2.25 are claimed
        (1, "counterfactual", 2),
    ):  # fmt: skip
        seen = about(
            weights, image, times * share, baseline=baseline, counterfactual=torch.zeros_like(image)
        )
        assert completeness_gap(seen).tolist() == pytest.approx([expected], abs=1e-6)


def test_completeness_is_of_outputs_before_activation():
    weights = 3 * sum_of(*FOUR)
    seen = about(weights, WHITE, weights[0], BINARY, baseline=-1.0)
    assert completeness_gap(seen).tolist() == pytest.approx([0], abs=1e-6)


def test_only_claims_of_completeness_are_checked():
    weights = sum_of(*FOUR)
    assert completeness_gap(about(weights, WHITE, weights[0])) is None
    unchanged = about(weights, WHITE, weights[0], baseline=1.0)
    assert completeness_gap(unchanged).isnan().all()


def test_integrated_gradients_are_complete():
    """Captum's own measure of convergence is the gap before it is scaled."""
    seen = convolving(3, 16, BNP)
    network = nn.Sequential(seen.model.encoder, seen.model.head)
    method = IntegratedGradients(network)
    maps, delta = method.attribute(
        seen.image, baselines=-1.0, target=0, n_steps=30, return_convergence_delta=True
    )
    difference = (network(seen.image) - network(torch.full_like(seen.image, -1.0)))[:, 0]
    found = completeness_gap(dataclasses.replace(seen, attribution=maps.sum(1).float()))
    assert found.tolist() == pytest.approx((delta.abs() / difference.abs()).tolist(), abs=1e-5)
    assert found.max() < 0.05


def test_ranks_follow_attribution():
    attribution = torch.tensor([[[0.0, 2.0, -1.0, 0.0, 5.0]]])
    ranked = ranks(attribution, torch.zeros(1, 1, 1, 5))[0, 0].tolist()
    assert [ranked[4], ranked[1], ranked[2]] == [0, 1, 4]
    assert sorted(ranked) == [0, 1, 2, 3, 4]


def test_negative_attribution_goes_last():
    weights = sum_of((0, 0), size=10)
    against = torch.zeros(1, 10, 10)
    against[0, 5, 5] = -9  # the largest of |attribution|
    against[0, 0, 0] = 1
    assert deletion_auc(about(weights, WHITE, against)).item() == pytest.approx(FIRST_STEP)


def test_regressions_are_scaled_by_typical_values():
    weights = 3 * sum_of(*FOUR)  # predicts 3, and typical is 1: black is beyond it
    seen = about(weights, WHITE, weights[0], reference_value=1.0)
    assert deletion_auc(seen).item() == pytest.approx(FIRST_STEP)
    for level in (3.0, 4.0):  # nothing lies between
        seen = about(weights, WHITE, weights[0], reference_value=level)
        assert deletion_auc(seen).isnan().all()
        assert insertion_auc(seen).isnan().all()


def test_probabilities_are_not_scaled():
    nothing = torch.zeros(1, 1, 10, 10)  # a model that always says one half
    seen = about(nothing, WHITE, torch.zeros(1, 10, 10), BINARY)
    assert deletion_auc(seen).tolist() == pytest.approx([0.5])
    assert infidelity(seen).isnan().all()


def test_only_slopes_predict_linear_models():
    weights = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    image = torch.zeros(3, 2, 16, 16)
    slope = weights.sum(dim=1).expand(3, -1, -1)
    assert infidelity(about(weights, image, 1e4 * slope)).tolist() == pytest.approx(
        [0] * 3, abs=1e-9
    )
    assert infidelity(about(weights, image, -slope)).tolist() == [1, 1, 1]
    assert infidelity(about(weights, image, torch.zeros(3, 16, 16))).tolist() == [1, 1, 1]
    noise = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert (infidelity(about(weights, image, noise)) > 0.7).all()


def test_infidelity_takes_known_responses():
    seen = convolving(3, 16)
    response = response_to_noise(seen.model, seen.target, seen.image)
    known = dataclasses.replace(seen, response=response)
    assert infidelity(known).tolist() == infidelity(seen).tolist()
    noise = dataclasses.replace(seen, response=response.flip(1))
    assert infidelity(noise).tolist() != infidelity(seen).tolist()


def test_infidelity_matches_captum():
    seen = convolving(3, 16, channels=3)
    image, target = seen.image, seen.target

    def ask(x: Tensor) -> Tensor:
        return activated(seen.model, target.task, x)[:, 0]

    noise = 0.2 * torch.nn.functional.interpolate(
        normals(image, (DRAWS, 8, 8)), size=(16, 16), mode="bilinear"
    )
    noise = noise[:, :, None].expand(-1, -1, 3, -1, -1).flatten(0, 1)
    change = ask(image).repeat_interleave(DRAWS) - ask(image.repeat_interleave(DRAWS, 0) - noise)
    change = change.view(3, DRAWS)
    attribution = torch.stack([seen.attribution[0], *(-seen.attribution[1:])])  # of either sign
    captums = captum_infidelity(
        ask, lambda x: (noise, x - noise), image,
        attribution[:, None].expand(-1, 3, -1, -1), n_perturb_samples=DRAWS, normalize=True,
    )  # fmt: skip
    ours = torch.minimum(
        *(infidelity(dataclasses.replace(seen, attribution=h)) for h in (attribution, -attribution))
    )
    theirs = captums / change.square().mean(dim=1)
    assert torch.allclose(response_to_noise(seen.model, target, image), change, atol=1e-6)
    assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-6)
    assert (ours < 1).all()


@given(st.integers(0, 10_000), st.floats(-30, 30))
def test_infidelity_ignores_the_map_scale(seed, power):
    rng = torch.Generator().manual_seed(seed)
    foretold, change = torch.randn(2, 4, 9, generator=rng, dtype=torch.float64)
    share = unexplained(foretold, change)
    assert ((share >= 0) & (share <= 1)).all()
    torch.testing.assert_close(unexplained(10**power * foretold, change), share)


def test_cout_rewards_changing_what_counts():
    weights = sum_of(*FOUR)
    counts = weights[0, 0] > 0
    made = torch.where(counts, -1.0, 0.9)[None, None]
    seen = about(weights, WHITE, torch.zeros(1, 10, 10), counterfactual=made)
    assert cout(seen).tolist() == pytest.approx([1 - 2 * FIRST_STEP])
    made = torch.where(counts, 0.9, -1.0)[None, None]  # what counts comes last, and stays
    seen = about(weights, WHITE, torch.zeros(1, 10, 10), counterfactual=made)
    assert cout(seen).item() < -0.9


def test_an_unchanged_image_has_lowest_cout():
    seen = about(sum_of(*FOUR), WHITE, torch.zeros(1, 10, 10), counterfactual=WHITE)
    assert cout(seen).tolist() == pytest.approx([-1])


def test_cout_compares_target_with_source():
    red, blue = torch.zeros(2, 2, 10, 10)
    red[0], blue[1] = 1, 1  # class 0 is red, class 1 is blue
    image = torch.stack([-torch.ones(10, 10), torch.ones(10, 10)])[None]
    made = -image
    seen = about(
        torch.stack([red, blue]), image, torch.zeros(1, 10, 10), CLASSES, counterfactual=made
    )
    # All pixels change alike: from blue to red along a straight line that softmax makes a step.
    assert cout(seen).item() == pytest.approx(0, abs=1e-6)
    back = dataclasses.replace(seen, image=made)
    assert cout(back).item() == pytest.approx(1, abs=1e-6)


def test_colours_weigh_alike_in_cout():
    weights = torch.zeros(1, 2, 10, 10)
    weights[0, :, 0, 0] = 0.5
    image = torch.ones(1, 2, 10, 10)
    made = image.clone()
    made[0, 0] = 0.8  # 0.2 in one colour is less than
    made[0, :, 0, 0] = 0.85  # 0.15 in both, which takes the output from 1 to 0.925
    attribution = torch.zeros(1, 10, 10)
    seen = about(weights, image, attribution, counterfactual=made, reference_value=0.925)
    assert cout(seen).item() == pytest.approx(1 - 2 * FIRST_STEP, abs=1e-4)


@pytest.mark.parametrize("task", [BNP, BINARY, CLASSES], ids=lambda task: task.kind)
def test_images_are_scored_independently(task):
    seen = convolving(3, 16, task, channels=2)
    for metric in (*GROUP.metrics, invalidation):
        alone = torch.cat([metric(one_case(seen, i)) for i in range(3)])
        torch.testing.assert_close(metric(seen), alone, rtol=1e-6, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("task", [BNP, BINARY, CLASSES], ids=lambda task: task.kind)
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_scores_lie_in_the_declared_range(task, seed):
    seen = convolving(4, 8, task, seed=seed)
    for metric in GROUP.metrics:
        values = metric(seen)
        assert values.shape == (4,)
        assert values.dtype == torch.float64
        assert ((values >= metric.lowest) & (values <= metric.highest)).all(), metric.name


def test_scores_are_repeatable():
    seen = convolving(2, 16)
    for metric in (*GROUP.metrics, invalidation):
        assert torch.equal(*(torch.nan_to_num(metric(seen)) for _ in range(2)))


def test_noise_depends_on_the_image_only():
    images = torch.full((2, 1, 8, 8), 128 / 127.5 - 1)
    images[1, 0, 0, 0] = 1
    one, other = normals(images, (4, 50, 50))
    assert not torch.equal(one, other)
    for rounding in (-1e-6, 1e-6):
        assert torch.equal(normals(images[1:] + rounding, (4, 50, 50))[0], other)
    assert one.mean().item() == pytest.approx(0, abs=0.05)
    assert one.std().item() == pytest.approx(1, abs=0.05)


def test_forward_passes_are_bounded():
    seen = about(sum_of(*FOUR), WHITE.expand(300, -1, -1, -1), torch.zeros(300, 10, 10))
    seen = dataclasses.replace(seen, counterfactual=seen.image)
    for metric in (*GROUP.metrics, invalidation):
        metric(seen)
    assert seen.model.encoder.largest_batch == MAX_IMAGES


def test_answers_carry_no_gradient():
    seen = convolving(2, 8)
    assert not activated(seen.model, BINARY, seen.image).requires_grad


def test_a_hundred_images_take_seconds():
    seen = convolving(100, 32)
    started = time.process_time()
    for metric in (*GROUP.metrics, invalidation):
        metric(seen)
    assert time.process_time() - started < 20  # 6 s on one thread
