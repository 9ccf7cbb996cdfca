from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_inputs import sanity_input
from skimage.metrics import structural_similarity

from gvr_bench.metrics.image_similarity import map_similarity
from gvr_bench.metrics.sanity import (
    GROUP,
    OtherImagesInput,
    other_image_similarity,
    partners,
    randomised_encoder,
    randomised_generator,
    randomised_head,
    target_sensitivity,
)

RANDOMISED = (randomised_head, randomised_encoder, randomised_generator)

SIZE = 16


def noise(seed: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def remaining(attribution: torch.Tensor, other: torch.Tensor) -> list[float]:
    """How much of maps is left when the head is random."""
    return randomised_head(sanity_input(attribution=attribution, randomised_head=other)).tolist()


@pytest.mark.parametrize("metric", RANDOMISED, ids=lambda metric: metric.name)
def test_every_network_has_its_own_map(metric):
    others = {other.name: noise(1) for other in RANDOMISED}
    data = sanity_input(attribution=noise(0), **others | {metric.name: 0.9 * noise(0)})
    high = [m(data).mean().item() > 0.9 for m in RANDOMISED]
    assert high == [m is metric for m in RANDOMISED]


def test_maps_of_another_output_differ():
    for other, expected in ((3 * noise(0), 0), (noise(1), 1), (-noise(0), 1.7)):
        found = target_sensitivity(sanity_input(attribution=noise(0), other_target=other))
        assert found.tolist() == pytest.approx([expected] * 2, abs=0.3)
    assert target_sensitivity(sanity_input(attribution=noise(0))) is None


def test_maps_without_the_generator_score_nothing():
    same = {name: noise(0) for name in ("attribution", "randomised_head", "randomised_generator")}
    assert randomised_generator(sanity_input(**same)) is None
    assert randomised_head(sanity_input(**same)).tolist() == pytest.approx([1, 1])


def test_unchanged_maps_score_one():
    assert remaining(noise(0), noise(0)) == pytest.approx([1, 1])
    assert remaining(noise(0), 1e-9 * noise(0)) == pytest.approx([1, 1])


def test_negated_maps_count_as_equal():
    assert remaining(noise(0), -3 * noise(0)) == pytest.approx([1, 1])
    assert map_similarity(noise(0), -noise(0)).max() < 0


def test_an_unrelated_map_is_lost():
    assert max(remaining(noise(0, 20), noise(1, 20))) < 0.3


def test_empty_maps_equal_empty_maps_only():
    nothing = torch.zeros(2, SIZE, SIZE)
    assert remaining(nothing, nothing) == [1, 1]
    assert max(remaining(noise(0), nothing)) < 0.1
    assert max(remaining(nothing, noise(0))) < 0.1


def test_constant_maps_are_equal():
    assert remaining(torch.full((2, SIZE, SIZE), 3.0), torch.full((2, SIZE, SIZE), 5.0)) == [1, 1]


def test_map_similarity_matches_scikit_image():
    one, other = torch.tensor([[2.0], [-5.0]])[:, None] * noise(4)
    expected = structural_similarity(
        (1 + one / one.abs().max()).double().numpy(),
        (1 + other / other.abs().max()).double().numpy(),
        data_range=2.0,
    )
    assert map_similarity(one[None], other[None]).item() == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1))
def test_likeness_lies_in_the_declared_range(a, b, share):
    mixed = share * noise(a) + (1 - share) * noise(b)
    value = torch.tensor(remaining(noise(a), mixed))
    assert ((value >= randomised_head.lowest) & (value <= 1 + 1e-12)).all()


def test_images_are_scored_independently():
    one, other = noise(0, 3), noise(1, 3)
    alone = [remaining(one[i : i + 1], other[i : i + 1])[0] for i in range(3)]
    assert remaining(one, other) == pytest.approx(alone, abs=1e-12)


def references(maps: torch.Tensor, other: list[int]) -> list[float]:
    """Similarity of maps with those of other cases."""
    data = OtherImagesInput(torch.tensor(other), lambda rows: maps[rows])
    values = other_image_similarity(data)
    return values.tolist()


def test_the_reference_compares_two_images():
    maps = torch.stack([noise(0, 1)[0], 2 * noise(0, 1)[0], noise(1, 1)[0]])
    expected = remaining(maps[1:], maps[[2, 0]])[0]
    assert references(maps, [1, 2, 0]) == pytest.approx([1, expected, expected], abs=1e-4)
    assert references(maps, [1, -1, -1]) == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    nobody = OtherImagesInput(torch.tensor([-1, -1]), lambda rows: maps[rows])
    assert other_image_similarity(nobody) is None


@pytest.mark.parametrize(
    ("alike", "patients", "expected"),
    [
        ([0, 0, 0, 0], [1, 2, 3, 4], [2, 3, 0, 1]),  # half of them away
        ([0, 3, 0, 3], [1, 2, 3, 4], [2, 3, 0, 1]),  # of the same output
        ([0, 0, 0, 0], [1, 2, 1, 2], [3, 0, 1, 2]),  # of another patient
        ([0, -1, 0, 5], [1, 2, 3, 4], [2, -1, 0, -1]),
        ([0, 0], [1, 1], [-1, -1]),
    ],
)
def test_partners_by_hand(alike, patients, expected):
    assert partners(torch.tensor(alike), torch.tensor(patients)).tolist() == expected


@pytest.mark.parametrize("metric", RANDOMISED, ids=lambda metric: metric.name)
def test_randomised_maps_are_tested_not_ranked(metric):
    assert metric.better == "-"
    assert metric.reference in {other.name for other in GROUP.metrics}
