"""Gradient maps against captum, and against values worked out for linear models."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from gvr_explainers.gradients import ExpectedGradients, InputXGradient, SmoothGrad, VarGrad
from gvr_explainers.pattern import Pattern
from networks_of_images import TASK, context_of, model_of, pictures
from small_parts import frozen
from test_explainers import linear_model, make_query
from torch import Tensor, nn

import gvr_bench.api as gvr


def explain(kind: type[gvr.Explainer], model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASK)
    ctx = context_of(model, pictures(30))
    return kind(kind.Settings(**settings)).explain(model, x, target, ctx).attribution


@pytest.mark.parametrize("kind", ["latents", "cnn", "vit"])
def test_input_x_gradient_equals_captum(kind: str) -> None:
    model, x = model_of(kind), pictures()
    expected = captum.attr.InputXGradient(model).attribute(x.requires_grad_(), target=0)
    made = explain(InputXGradient, model, x)
    torch.testing.assert_close(made, expected.detach().sum(1), rtol=1e-4, atol=1e-7)


def test_noise_does_not_change_a_linear_slope() -> None:
    model, x = linear_model([1.0, 2.0, -3.0, -4.0]), torch.rand(2, 2, 1, 2)
    smooth = explain_binary(SmoothGrad, model, x, samples=4)
    assert smooth.tolist() == [[[3.0, 4.0]], [[3.0, 4.0]]]
    assert explain_binary(VarGrad, model, x, samples=4).abs().max() < 1e-6


def explain_binary(
    kind: type[gvr.Explainer], model: gvr.Model, x: Tensor, **settings: object
) -> Tensor:
    task = gvr.Task("binary", ("mass",))
    target = make_query(model, x, task)
    ctx = context_of(model, x)
    return kind(kind.Settings(**settings)).explain(model, x, target, ctx).attribution


def test_variance_is_that_of_the_slopes() -> None:
    """The square of one pixel has the slope 2x, so the variance is 4 times that of the noise."""

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2, 3))[:, None]

    model = gvr.Model(frozen(Square()), frozen(nn.Identity()), frozen(nn.Identity()))
    x = torch.tensor([[[[-1.0, 1.0]]]])  # range 2: noise 0.1 is a deviation of 0.2
    variance = explain_binary(VarGrad, model, x, samples=4000, noise=0.1)
    torch.testing.assert_close(variance, torch.full((1, 1, 2), 4 * 0.2**2), rtol=0.1, atol=0)
    smooth = explain_binary(SmoothGrad, model, x, samples=4000, noise=0.1)
    torch.testing.assert_close(smooth, torch.full((1, 1, 2), 2.0), rtol=0.02, atol=0)


def test_expected_gradients_of_a_linear_model() -> None:
    """Weight times the distance from the mean training image: exact where all images are used."""
    model, x = linear_model([1.0, 2.0, -3.0, -4.0]), torch.rand(3, 2, 1, 2)
    made = explain_binary(ExpectedGradients, model, x, samples=4000)
    weights = torch.tensor([1.0, 2.0, -3.0, -4.0]).view(2, 1, 2)
    expected = ((x - x.mean(0)) * weights).sum(1)
    torch.testing.assert_close(made, expected, rtol=0, atol=0.06)


def test_expected_gradients_add_up() -> None:
    model, x = model_of("latents"), pictures(2)
    with torch.no_grad():
        gain = model(x)[:, 0] - model(pictures(30))[:, 0].mean()
    made = explain(ExpectedGradients, model, x, samples=3000).sum((1, 2))
    torch.testing.assert_close(made, gain, rtol=0, atol=0.1 * gain.abs().max().item())


@pytest.mark.parametrize("samples", [1, 7])
def test_parts_of_draws_are_averaged(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model and one training image leave nothing to chance."""
    model, x = linear_model([1.0, 2.0, -3.0, -4.0]), torch.rand(1, 2, 1, 2)
    monkeypatch.setattr("gvr_explainers.gradients.max_batch_size", lambda x, gradients: 2)
    assert explain_binary(ExpectedGradients, model, x, samples=samples).abs().max() < 1e-6


def test_pattern_is_local_covariance_times_slope() -> None:
    model, x, images = model_of("latents"), pictures(2), pictures(30)
    made = explain(Pattern, model, x, neighbours=0.5)
    for image, map_ in zip(x, made, strict=True):
        free = image[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(free)[:, 0].sum(), free)
        flat, distance = images.flatten(1).double(), (images - image).flatten(1).norm(dim=1)
        near = distance.argsort()[:15]
        kernel = torch.exp(-(distance[near] / distance[near].median()).double().square() / 2)
        covariance = np.cov(flat[near].T.numpy(), aweights=kernel.numpy(), ddof=0)
        expected = covariance @ slope.double().flatten().numpy()
        np.testing.assert_allclose(map_.flatten(), expected, atol=2e-4 * abs(expected).max())


def test_pattern_gives_suppressors_nothing() -> None:
    """Pixel 0 is signal plus noise and pixel 1 that noise, which the model subtracts.

    The others make all images about equally far, as those of many pixels are.
    """
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(20_000, 102, generator=rng) * 0.2
    pixels[:, 0] += pixels[:, 1]
    images = pixels.view(-1, 1, 6, 17)
    head = nn.Linear(102, 1, bias=False)
    with torch.no_grad():
        head.weight.zero_()[0, :2] = torch.tensor([1.0, -1.0])
    model = gvr.Model(frozen(nn.Flatten()), frozen(nn.Identity()), frozen(head))
    x = images[:1]
    target = make_query(model, x, gvr.Task("binary", ("mass",)))
    made = Pattern(Pattern.Settings(neighbours=1.0)).explain(
        model, x, target, context_of(model, images)
    )
    slope, suppressor = made.attribution[0, 0, :2].tolist()
    assert slope > 0.01
    assert abs(suppressor) < 0.05 * slope
