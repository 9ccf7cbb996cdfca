from __future__ import annotations

import pytest
import torch
from captum.metrics import sensitivity_max
from hypothesis import given
from hypothesis import strategies as st
from made_up_inputs import BINARY, DIGITS, robustness_input
from made_up_model import about, sum_of

from gvr_bench.metrics.robustness import DRAWS, invalidation, max_sensitivity


def sensitivity(attribution: list[float], *perturbed: list[float]) -> float:
    """Sensitivity of a map of 1 x 2 pixels to its maps for perturbed inputs."""
    seen = robustness_input(
        attribution=torch.tensor([[attribution]]),
        perturbed=torch.tensor([[[p] for p in perturbed]]),
    )
    return float(max_sensitivity(seen)[0])


def test_invalidation_needs_a_counterfactual():
    assert invalidation(robustness_input()) is None


def test_the_largest_relative_change_counts():
    assert sensitivity([3, 4], [3, 4], [3, 5], [0, 0]) == pytest.approx(1)
    assert sensitivity([3, 4], [3, 4], [3, 5]) == pytest.approx(0.2)
    assert sensitivity([3, 4], [3, 4]) == 0


def test_empty_maps_have_no_sensitivity():
    assert sensitivity([0, 0], [0, 0]) != sensitivity([0, 0], [0, 0])  # NaN
    assert sensitivity([0, 0], [1, 0]) != sensitivity([0, 0], [1, 0])


@given(st.integers(0, 10_000))
def test_sensitivity_is_captums(seed):
    rng = torch.Generator().manual_seed(seed)
    n, draws, size = 3, 5, 4
    image = torch.rand(n, 1, size, size, generator=rng)
    moved = image.repeat_interleave(draws, 0)
    moved = moved + torch.empty_like(moved).uniform_(-0.02, 0.02, generator=rng)

    def explain(x: tuple[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        x = x[0] if isinstance(x, tuple) else x
        return (7 * x).sin() * x.sum(dim=(2, 3), keepdim=True)

    theirs = sensitivity_max(
        lambda x: (explain(x),), image, perturb_func=lambda x: (moved,), n_perturb_samples=draws
    )
    seen = robustness_input(
        attribution=explain(image)[:, 0],
        perturbed=explain(moved).view(n, draws, size, size),
    )
    assert max_sensitivity(seen).tolist() == pytest.approx(theirs.tolist(), abs=1e-6)


def test_flips_far_past_the_threshold_last():
    size = 10
    weights = torch.full((1, 1, size, size), 1.0)
    level = torch.tensor([-1.0, 0.0, 1.0])  # the model says 0, 50 and 100; flipped below 51
    made = level[:, None, None, None].expand(3, 1, size, size)
    seen = about(weights, made, torch.zeros(3, size, size), threshold=60.0, counterfactual=made)
    assert invalidation(seen)[:2].tolist() == [0, 0]
    assert invalidation(seen)[2].isnan()


def test_half_the_marginal_flips_last():
    n = 200
    image = torch.rand(n, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    made = torch.zeros(n, 1, 10, 10)
    seen = about(
        sum_of((4, 4)), image, torch.zeros(n, 10, 10), threshold=0.5 + 1e-6, counterfactual=made
    )
    undone = invalidation(seen)
    assert undone.mean().item() == pytest.approx(0.5, abs=0.05)  # 4 standard errors
    assert set((undone * DRAWS).tolist()) <= set(range(DRAWS + 1))


def test_the_noise_has_the_declared_size():
    n = 400  # the model flips 1 standard deviation of one pixel's noise below its threshold
    image = torch.rand(n, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    made = torch.full((n, 1, 10, 10), -0.05)
    seen = about(sum_of((4, 4)), image, torch.zeros(n, 10, 10), counterfactual=made)
    assert invalidation(seen).mean().item() == pytest.approx(0.159, abs=0.03)


def test_classes_flip_back():
    weights = torch.zeros(3, 1, 10, 10)
    weights[0, 0, 0, 0] = 1  # the target's
    made = torch.ones(1, 1, 10, 10)
    seen = about(weights, made, torch.zeros(1, 10, 10), DIGITS, counterfactual=made)
    assert invalidation(seen).tolist() == [0]
    source = -weights.flip(0)
    seen = about(source, made, torch.zeros(1, 10, 10), DIGITS, counterfactual=made)
    assert invalidation(seen).tolist() == [0]
    weights[2] = 2 * weights[0]
    assert (
        invalidation(about(weights, made, torch.zeros(1, 10, 10), DIGITS, counterfactual=made))
        .isnan()
        .all()
    )


def test_probabilities_flip_at_one_half():
    image = torch.ones(1, 1, 10, 10)
    seen = about(-sum_of((0, 0)), image, torch.zeros(1, 10, 10), BINARY, counterfactual=image)
    assert invalidation(seen).tolist() == [0]
