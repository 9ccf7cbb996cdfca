from __future__ import annotations

import pytest
import torch

import gvr_bench.api as gvr


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates(n: int, h: int, w: int) -> torch.Tensor:
    """Images whose three channels say their own number, row and column."""
    number, row, column = torch.meshgrid(
        torch.arange(n), torch.arange(h), torch.arange(w), indexing="ij"
    )
    return torch.stack([number, row, column], dim=1).float()


def test_zero_shift_changes_nothing():
    x = torch.rand(2, 3, 5, 5)
    assert torch.equal(gvr.translate(x, 0, rng()), x)


@pytest.mark.parametrize(("n", "h", "w", "shift"), [(40, 9, 9, 2), (40, 6, 11, 3), (5, 4, 4, 7)])
def test_pixels_move_at_most_the_shift(n, h, w, shift):
    x = coordinates(n, h, w)
    moved = gvr.translate(x, shift, rng())
    assert moved.shape == x.shape
    assert torch.equal(moved[:, 0], x[:, 0])
    assert (moved - x).abs().max() <= shift


def test_image_moves_rigidly_and_repeats_border():
    x = coordinates(60, 8, 10)
    moved = gvr.translate(x, 3, rng())
    rows, columns = torch.arange(8), torch.arange(10)
    seen = set()
    for image in moved:
        dy, dx = int(image[1, 4, 5]) - 4, int(image[2, 4, 5]) - 5
        seen.add((dy, dx))
        assert torch.equal(image[1, :, 0], (rows + dy).clamp(0, 7).float())
        assert torch.equal(image[2, 0], (columns + dx).clamp(0, 9).float())
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == set(range(-3, 4))
    assert any(dy != dx for dy, dx in seen)


def test_same_draws_give_same_images():
    x = torch.rand(8, 1, 12, 12, generator=rng(9))
    first, again, other = (gvr.translate(x, 4, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_input_is_not_modified():
    x = torch.rand(3, 1, 6, 6)
    kept = x.clone()
    gvr.translate(x, 2, rng()).zero_()
    assert torch.equal(x, kept)
