from __future__ import annotations

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime as Captum
from gvr_explainers import batching
from gvr_explainers.lime import Lime, draw_samples, kernel, ridge, segment_means, superpixels
from sklearn.linear_model import Ridge
from small_parts import context
from test_explainers import TASKS, make_images, make_model, make_query
from torch import Tensor

import gvr_bench.api as gvr


def explain(model: gvr.Model, x: Tensor, seed: int = 0, **settings: object) -> Tensor:
    target = make_query(model, x, TASKS["multilabel"])
    explainer = Lime(Lime.Settings(**{"samples": 60, "segments": 12, **settings}))
    return explainer.explain(model, x, target, context(seed)).attribution


def test_flat_image_has_superpixels():
    labels = superpixels(torch.zeros(1, 1, 16, 16), 16, 0.1, 1.0)
    assert 8 <= len(labels.unique()) <= 32


def test_noise_has_many_superpixels():
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for image in superpixels(x, 50, 0.1, 1.0):
        assert len(image.unique()) >= 25


@pytest.mark.parametrize("side", [32, 64, 128])
def test_superpixels_are_numbered_from_zero(side):
    rng = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 1, side // 8, side // 8, generator=rng) * 2 - 1
    x = torch.nn.functional.interpolate(coarse, side, mode="bilinear")
    labels = superpixels(x, 50, 0.1, 1.0)
    assert labels.shape == (2, side, side)
    for image in labels:
        count = int(image.max()) + 1
        assert 25 <= count <= 75
        assert image.unique().tolist() == list(range(count))


def test_superpixels_follow_an_edge():
    x = torch.full((1, 1, 32, 32), -1.0)
    x[..., 13:] = 1.0
    labels = superpixels(x, 16, 0.1, 1.0)[0]
    assert not set(labels[:, :12].unique().tolist()) & set(labels[:, 14:].unique().tolist())


def test_wiped_superpixel_is_its_mean():
    x = torch.tensor([[[[0.0, 1.0], [0.5, -0.5]]], [[[1.0, 1.0], [-1.0, 0.0]]]])
    segments = torch.tensor([[[0, 0], [1, 1]], [[0, 1], [1, 1]]])
    expected = [[[[0.5, 0.5], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]]]
    assert segment_means(x, segments).tolist() == expected


def test_samples_depend_on_seed_and_image():
    x = make_images()
    kept = draw_samples(x, [5, 9, 7], 40, context(1))
    assert kept[:, 0].sum(1).tolist() == [5, 9, 7]
    assert not kept[0, :, 5:].any()
    assert torch.equal(draw_samples(x[1:2], [9], 40, context(1))[0], kept[1])
    assert not torch.equal(draw_samples(x[1:2], [9], 40, context(2))[0], kept[1])
    assert 0.4 < kept[1, 1:].float().mean() < 0.6


def test_empty_sample_is_farthest():
    weights = kernel(torch.tensor([0.0, 0.25, 1.0]), 0.5)
    assert weights.tolist() == pytest.approx([np.exp(-2), np.exp(-0.5), 1.0])


def test_regression_equals_scikit_learn():
    rng = np.random.default_rng(3)
    inputs, outputs, weights = rng.random((40, 6)) < 0.5, rng.normal(size=40), rng.random(40)
    inputs[:, 4] = False
    theirs = Ridge(alpha=0.7).fit(inputs, outputs, sample_weight=weights).coef_
    ours = ridge(*(torch.from_numpy(part) for part in (inputs, outputs, weights)), 0.7)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)
    assert ours[4] == 0


def test_map_equals_captum():
    model, x = make_model(2), make_images()
    segments = superpixels(x, 12, 0.1, 1.0)
    counts = (segments.flatten(1).amax(1) + 1).tolist()
    kept, wiped = draw_samples(x, counts, 60, context()), segment_means(x, segments)
    theirs = []
    for i, count in enumerate(counts):

        def samples(_image: Tensor, i: int = i, count: int = count, **_: object):
            yield from kept[i, :, None, :count].long()

        def near(_image: Tensor, _other: Tensor, sample: Tensor, **_: object) -> Tensor:
            return kernel(sample.float().mean(), 0.25)

        captum = Captum(model, SkLearnRidge(alpha=1.0), near, samples)
        image = slice(i, i + 1)
        theirs.append(
            captum.attribute(
                x[image],
                baselines=wiped[image],
                target=0,
                feature_mask=segments[image, None],
                n_samples=60,
            )[0, 0]
        )
    torch.testing.assert_close(explain(model, x), torch.stack(theirs), rtol=0, atol=1e-5)


def test_important_superpixel_is_found():
    """The output is the brightness of a square, which must be where the attribution is."""
    x = torch.full((1, 3, 16, 16), -0.5)
    x[..., 4:8, 4:8] = 1.0
    x[..., 6, 6] = -1.0  # for the mean to differ from the pixels
    weight = torch.zeros(3, 16, 16)
    weight[:, 4:8, 4:8] = 1.0
    weight[:, 6, 6] = -1.0
    head = torch.nn.Linear(3 * 256, 2).requires_grad_(False)
    head.weight[:] = weight.flatten()
    identity = torch.nn.Identity()
    model = gvr.Model(torch.nn.Flatten(), identity, head)
    attribution = explain(model, x, samples=200, segments=16, smoothing=0.0)[0]
    inside = attribution[4:8, 4:8].mean()
    attribution[4:8, 4:8] = 0
    assert inside > 1
    assert attribution.abs().max() < inside / 2


def test_other_seed_gives_other_samples():
    model, x = make_model(2), make_images()
    assert not torch.equal(explain(model, x, 1), explain(model, x, 2))


def test_batch_size_changes_only_rounding(monkeypatch):
    model, x = make_model(2), make_images()
    whole = explain(model, x)
    monkeypatch.setattr(batching, "CPU_BUDGET", 7 * 4 * x[0].numel() * batching.FACTOR)
    torch.testing.assert_close(explain(model, x), whole, rtol=0, atol=1e-6)
