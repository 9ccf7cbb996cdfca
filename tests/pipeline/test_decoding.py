"""How good a decoder is: worked out by hand, and for decoders whose faults are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from made_up_stages import SIZE, THREE, Bank, Squares
from skimage.metrics import structural_similarity
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.cache.serialization import read_json
from gvr_bench.metrics.decoding import GROUP, decoding_scores
from gvr_bench.metrics.frechet import fid, frechet_distance
from gvr_bench.metrics.image_similarity import l1, ssim
from gvr_bench.pipeline.steps import oracle
from gvr_bench.pipeline.steps.decoding import compute_decoding
from gvr_bench.pipeline.steps.train_networks import compute_encoder, compute_generator


def draws(n: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


def test_a_single_image_has_no_distance() -> None:
    assert np.isnan(frechet_distance(draws(1, 3), draws(9, 3)))
    assert np.isnan(frechet_distance(draws(9, 3), draws(1, 3)))
    assert fid(draws(1, 3), draws(9, 3)).n == 0
    assert fid(draws(0, 3), draws(9, 3)).value is None


def test_distance_in_one_dimension() -> None:
    a = torch.tensor([[-1.0], [0.0], [1.0]])  # mean 0, deviation 1
    b = torch.tensor([[1.0], [4.0], [7.0]])  # mean 4, deviation 3
    assert frechet_distance(a, b) == pytest.approx(4.0**2 + (3.0 - 1.0) ** 2)


def test_a_shift_alone_counts_its_square() -> None:
    a = draws(20, 4)
    assert frechet_distance(a, a + torch.tensor([1.0, 2.0, 0.0, 2.0])) == pytest.approx(9.0)


@pytest.mark.parametrize("n", [3, 50])
def test_distance_of_equal_images_is_zero(n: int) -> None:
    a = draws(n, 10)
    assert 0 <= frechet_distance(a, a) < 1e-6


def test_distance_is_symmetric_textbook_formula() -> None:
    mix = draws(5, 5, 2)
    a, b = draws(40, 5), draws(30, 5, 1) @ mix + 0.5
    first, second = (np.cov(t.double().numpy().T) for t in (a, b))
    root = scipy.linalg.sqrtm(first @ second).real
    shift = (a.double().mean(0) - b.double().mean(0)).square().sum().item()
    expected = shift + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_interval_narrows_and_is_repeatable() -> None:
    a, b = draws(400, 6), draws(400, 6, 1) + 0.3
    few, many, again = fid(a[:40], b[:40]), fid(a, b), fid(a, b)
    assert 0 <= few.low < few.value < few.high
    assert many.low < many.value == frechet_distance(a, b) < many.high
    assert many.high - many.low < (few.high - few.low) / 2
    assert many == again
    assert (few.n, many.n) == (40, 400)


def test_interval_with_more_features_than_images() -> None:
    actual = fid(draws(12, 20), draws(15, 20, 1))  # resamples are half as far again
    assert actual.low < actual.value < actual.high


def test_l1_averages_pixels_and_channels() -> None:
    a = torch.zeros(2, 3, 4, 4)
    b = torch.stack([torch.full((3, 4, 4), 0.5), torch.zeros(3, 4, 4)])
    b[1, 0] = -0.3
    assert l1(a, b).tolist() == pytest.approx([0.5, 0.1])


def test_ssim_equals_scikit_image() -> None:
    a, b = draws(2, 3 * 81).clamp(-1, 1).view(2, 3, 9, 9), torch.zeros(2, 3, 9, 9)
    assert ssim(a[:, :, :6, :], b[:, :, :6, :]).isnan().tolist() == [True, True]
    assert ssim(a, a).tolist() == pytest.approx([1.0, 1.0])
    expected = np.mean(
        [
            structural_similarity(a[0, c].numpy() + 1, b[0, c].numpy() + 1, data_range=2)
            for c in range(3)
        ]
    )
    assert ssim(a, b)[0].item() == pytest.approx(expected, abs=1e-6)


def test_small_images_have_no_ssim() -> None:
    x = torch.zeros(3, 1, 4, 4)
    rows = {
        row.metric: row
        for row in decoding_scores(x, x, torch.zeros(3), draws(3, 2), draws(3, 2, 1))
    }
    assert list(rows) == [declaration.name for declaration in GROUP.declarations]
    assert rows["reconstruction_ssim"].score.value is None
    assert rows["reconstruction_ssim"].reason == "images are smaller than 7 x 7 pixels"
    assert rows["reconstruction_l1"].reason == ""


class Unrolled(nn.Module):
    """A latent is the image's pixels; the decoder adds `error`."""

    latent_dim = SIZE**2

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error

    def forward(self, z: Tensor) -> Tensor:
        return z.view(-1, 1, SIZE, SIZE) + self.error


class Plain(gvr.Generator):
    def __init__(self, error: float) -> None:
        super().__init__(gvr.Settings())
        self.error = error

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        return Unrolled(self.error)

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Nothing to learn."""


class Flat(gvr.Encoder):
    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        return nn.Flatten()

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Nothing to learn."""


def decoded(root: Path, error: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """Scores of a decoder that adds `error` each time."""
    monkeypatch.setattr(oracle, "EPOCHS", (1, 3))
    bank = Bank(root)
    data = bank.data(Squares(THREE))
    oracle_stage = bank.stage("oracle", data)
    generator = bank.stage("generator", data, component=Plain(error))
    encoder = bank.stage("encoder", generator, data, component=Flat(gvr.Settings()))
    bank.compute(oracle_stage, oracle.compute_oracle)
    bank.compute(generator, compute_generator)
    bank.compute(encoder, compute_encoder)
    built = bank.compute(
        bank.stage("decoding", encoder, data, oracle_stage), compute_decoding, batch_size=10
    )
    return {row["metric"]: row for row in read_json(built.out("scores.json"))}


def test_perfect_decoder_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = decoded(tmp_path, 0.0, monkeypatch)
    values = {name: row["score"]["value"] for name, row in rows.items()}
    assert values["reconstruction_l1"] == values["composition_10"] == 0
    assert values["reconstruction_ssim"] == pytest.approx(1)
    assert values["sample_fid"] > 0  # noise is no square, though the decoder is perfect
    assert [row["score"]["n"] for row in rows.values()] == [24] * 4
    assert {row["output"] for row in rows.values()} == {"all"}


def test_drifting_decoder_shows_after_ten_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = decoded(tmp_path, 0.02, monkeypatch)
    assert rows["reconstruction_l1"]["score"]["value"] == pytest.approx(0.02, rel=1e-4)
    assert rows["composition_10"]["score"]["value"] == pytest.approx(0.2, rel=1e-4)
    assert rows["reconstruction_ssim"]["score"]["value"] < 1
