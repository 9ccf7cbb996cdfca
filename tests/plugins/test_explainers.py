from __future__ import annotations

import pytest
import torch
from gvr_explainers.controls import Edge, Intensity, Random
from gvr_explainers.saliency import Saliency
from small_parts import Painter, context, frozen, seeded
from torch import Tensor, nn

import gvr_bench.api as gvr

TASKS = {
    "binary": gvr.Task("binary", ("mass",)),
    "multilabel": gvr.Task("multilabel", ("mass", "fluid")),
    "multiclass": gvr.Task("multiclass", ("a", "b", "c"), source=0, target=1),
    "regression": gvr.Task("regression", ("density",), "g/l", threshold=0.5),
}
SIZE = 16


def make_model(outputs: int) -> gvr.Model:
    """An untrained model of 3 x 16 x 16 pixels with a convolutional encoder."""

    def build() -> nn.ModuleList:
        layers = [nn.Conv2d(3, 4, 4, 2, 1), nn.SELU(), nn.Conv2d(4, 8, 4, 2, 1), nn.SELU()]
        encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 16, 4))
        return nn.ModuleList([encoder, Painter(3, SIZE), nn.Linear(4, outputs)])

    return gvr.Model(*(frozen(net) for net in seeded(build)))


def make_images(n: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(4)
    return torch.rand(n, 3, SIZE, SIZE, generator=rng) * 2 - 1


def make_query(model: gvr.Model, x: Tensor, task: gvr.Task) -> gvr.ExplanationTarget:
    """Ask each image to move a little down from where the model sees it."""
    n = len(x)
    source = torch.zeros(n, dtype=torch.int64)
    to = source + (task.kind == "multiclass")
    zeros = torch.zeros(n)
    target = gvr.ExplanationTarget(task, source, to, zeros, zeros)
    value = target.source_output(task.activate(model(x)))
    return gvr.ExplanationTarget(task, source, to, value - 0.02, value - 0.03)


def explain(explainer: gvr.Explainer, x: Tensor, seed: int = 0) -> Tensor:
    """The attribution of a control, which asks the model nothing."""
    model = make_model(1)
    asked = torch.zeros(len(x), dtype=torch.int64)
    target = gvr.ExplanationTarget(TASKS["binary"], asked, asked, asked.float(), asked.float())
    return explainer.explain(model, x, target, context(seed)).attribution


def linear_model(weight: list[float]) -> gvr.Model:
    """The prediction is the weighted sum of 1 x 2 pixels of two channels."""
    head = nn.Linear(4, 1)
    with torch.no_grad():
        head.weight.copy_(Tensor([weight]))
    return gvr.Model(frozen(nn.Flatten()), frozen(nn.Identity()), frozen(head))


@pytest.mark.parametrize(
    ("absolute", "expected"),
    [(True, [[3.0, 4.0]]), (False, [[-2.0, -2.0]])],
)
def test_linear_model_saliency_is_its_weights(absolute, expected):
    x = torch.rand(2, 2, 1, 2)
    asked = torch.zeros(2, dtype=torch.int64)
    target = gvr.ExplanationTarget(TASKS["binary"], asked, asked, asked.float(), asked.float())
    made = Saliency(Saliency.Settings(absolute=absolute)).explain(
        linear_model([1.0, 2.0, -3.0, -4.0]), x, target, context()
    )
    assert made.attribution.tolist() == [expected, expected]


def test_noise_depends_on_seed_and_image():
    x = make_images()
    first, again, other = (explain(Random(None), x, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert abs(torch.corrcoef(torch.stack([first[0].ravel(), first[1].ravel()]))[0, 1]) < 0.2


def test_noise_ignores_batch_position():
    x = make_images()
    attribution = explain(Random(None), x)
    assert torch.equal(explain(Random(None), x.flip(0)), attribution.flip(0))
    assert torch.equal(explain(Random(None), x[1:2])[0], attribution[1])
    channels_last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(explain(Random(None), channels_last), attribution)


def test_flat_image_has_no_edges():
    assert torch.allclose(
        explain(Edge(None), torch.full((1, 3, 8, 8), 0.7)), torch.zeros(1, 8, 8), atol=1e-6
    )


@pytest.mark.parametrize("upright", [True, False])
def test_edge_is_at_the_step(upright):
    x = torch.full((1, 1, 8, 8), -1.0)
    x[..., 4:] = 1.0
    expected = torch.zeros(1, 8, 8)
    expected[..., 3:5] = 1.0  # (1 + 2 + 1) / 8 of a step of 2
    turned = x if upright else x.transpose(2, 3).contiguous()
    attribution = explain(Edge(None), turned)
    assert torch.equal(attribution, expected if upright else expected.transpose(1, 2))


def test_intensity_runs_from_zero_to_one():
    x = torch.stack([torch.full((3, 4, 4), level) for level in (-1.0, 0.0, 1.0)])
    assert explain(Intensity(None), x)[:, 0, 0].tolist() == [0.0, 0.5, 1.0]
    attribution = explain(Intensity(None), make_images())
    assert attribution.min() >= 0
    assert attribution.max() <= 1
