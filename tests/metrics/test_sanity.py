from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_evidence import evidence
from skimage.metrics import structural_similarity

from gvr_bench.metrics.sanity import (
    SANITY,
    alike,
    randomised_encoder,
    randomised_generator,
    randomised_head,
)

SIZE = 16


def noise(seed: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def kept(attribution: torch.Tensor, other: torch.Tensor) -> list[float]:
    """How much of maps is left when the head is random."""
    seen = evidence(
        len(attribution), SIZE, attribution=attribution, again={"randomised_head": other}
    )
    return randomised_head(seen).tolist()


def test_what_was_not_asked_again_is_not_claimed():
    assert all(metric(evidence()) is None for metric in SANITY)
    seen = evidence(attribution=noise(0), again={"randomised_head": noise(1)})
    assert randomised_encoder(seen) is None


@pytest.mark.parametrize("metric", SANITY, ids=lambda metric: metric.name)
def test_every_network_has_its_own_map(metric):
    others = {other.name: noise(1) for other in SANITY}
    seen = evidence(attribution=noise(0), again={**others, metric.name: 0.9 * noise(0)})
    assert [m(seen).mean().item() > 0.9 for m in SANITY] == [m is metric for m in SANITY]


def test_a_map_made_without_the_generator_cannot_lose_it():
    again = {name: noise(0) for name in ("randomised_head", "randomised_generator")}
    seen = evidence(attribution=noise(0), again=again)
    assert randomised_generator(seen) is None
    assert randomised_head(seen).tolist() == pytest.approx([1, 1])


def test_a_map_that_does_not_change_is_kept_whatever_its_size():
    assert kept(noise(0), noise(0)) == pytest.approx([1, 1])
    assert kept(noise(0), 1e-9 * noise(0)) == pytest.approx([1, 1])


def test_a_negated_map_is_the_same_picture():
    assert kept(noise(0), -3 * noise(0)) == pytest.approx([1, 1])
    assert alike(noise(0), -noise(0)).max() < 0


def test_an_unrelated_map_is_lost():
    assert max(kept(noise(0, 20), noise(1, 20))) < 0.3


def test_maps_of_nothing_are_alike_and_unlike_all_others():
    nothing = torch.zeros(2, SIZE, SIZE)
    assert kept(nothing, nothing) == [1, 1]
    assert max(kept(noise(0), nothing)) < 0.1
    assert max(kept(nothing, noise(0))) < 0.1


def test_constant_maps_are_alike():
    assert kept(torch.full((2, SIZE, SIZE), 3.0), torch.full((2, SIZE, SIZE), 5.0)) == [1, 1]


def test_likeness_is_scikit_images_after_each_map_is_scaled():
    one, other = torch.tensor([[2.0], [-5.0]])[:, None] * noise(4)
    expected = structural_similarity(
        (1 + one / one.abs().max()).double().numpy(),
        (1 + other / other.abs().max()).double().numpy(),
        data_range=2.0,
    )
    assert alike(one[None], other[None]).item() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1))
def test_likeness_lies_in_the_declared_range(a, b, share):
    mixed = share * noise(a) + (1 - share) * noise(b)
    value = torch.tensor(kept(noise(a), mixed))
    assert ((value >= randomised_head.lowest) & (value <= 1 + 1e-12)).all()


def test_an_image_scores_the_same_in_any_company():
    one, other = noise(0, 3), noise(1, 3)
    alone = [kept(one[i : i + 1], other[i : i + 1])[0] for i in range(3)]
    assert kept(one, other) == pytest.approx(alone, abs=1e-12)
