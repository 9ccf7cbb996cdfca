from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from gvr_explainers import batching
from gvr_explainers.cam import CounterfactualCam, GradCam, GradientCam
from small_parts import context, frozen
from test_explainers import TASKS, linear_model, make_images, make_model, make_query
from torch import Tensor, nn

import gvr_bench.api as gvr


def with_settings(kind: type[GradientCam], **settings: str) -> GradientCam:
    return kind(kind.Settings(**settings))


def explain(kind: type[GradientCam], model: gvr.Model, x: Tensor, **settings: str) -> Tensor:
    target = make_query(model, x, TASKS["multilabel"])
    return with_settings(kind, **settings).explain(model, x, target, context()).attribution


def with_encoder(*layers: nn.Module) -> gvr.Model:
    """A model of 3 x 16 x 16 pixels with these layers before a linear one."""
    maps = nn.Sequential(*layers, nn.Flatten())
    with torch.random.fork_rng():
        torch.manual_seed(2)
        last = nn.Linear(maps(torch.zeros(1, 3, 16, 16)).shape[1], 2)
    return gvr.Model(*(frozen(net) for net in (maps, nn.Identity(), last)))


def captums(model: gvr.Model, layer: nn.Module, x: Tensor, sign: float) -> Tensor:
    captum = LayerGradCam(lambda images: sign * model(images), layer)
    maps = F.relu(captum.attribute(x, target=0))
    return F.interpolate(maps, x.shape[2:], mode="bilinear")[:, 0]


@pytest.mark.parametrize("kind", [GradCam, CounterfactualCam])
def test_encoder_without_map_is_unsupported(kind):
    target = make_query(make_model(1), make_images(2), TASKS["binary"])
    with pytest.raises(gvr.Unsupported, match="needs a convolution"):
        with_settings(kind).explain(
            linear_model([1.0] * 4), torch.zeros(2, 2, 1, 2), target, context()
        )
    with pytest.raises(gvr.Unsupported, match="needs a convolution"):
        explain(kind, with_encoder(nn.Conv2d(3, 8, 16)), make_images())


@pytest.mark.parametrize(("kind", "sign"), [(GradCam, 1.0), (CounterfactualCam, -1.0)])
def test_map_equals_captum(kind, sign):
    model, x = make_model(2), make_images()
    expected = captums(model, model.encoder[3], x, sign)
    assert expected.amax() > 0
    torch.testing.assert_close(explain(kind, model, x), sign * expected, rtol=0, atol=1e-5)
    before = captums(model, model.encoder[2], x, sign)
    torch.testing.assert_close(explain(kind, model, x, layer="2"), sign * before, rtol=0, atol=1e-5)


def own_network() -> gvr.Model:
    """A user's network, with an encoder of its own beside it that nothing may look into."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        block = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace=True))
        net = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), block, nn.AdaptiveAvgPool2d(1),
                            nn.Flatten(), nn.Linear(8, 2))  # fmt: skip
    return dataclasses.replace(make_model(2), classifier=frozen(net))


@pytest.mark.parametrize(("layer", "position"), [("", 2), ("0", 0)])
def test_own_network_equals_captum(layer: str, position: int) -> None:
    model, x = own_network(), make_images()
    net = model.classifier
    maps = F.relu(LayerGradCam(net, net[position]).attribute(x, target=0))
    expected = F.interpolate(maps, x.shape[2:], mode="bilinear")[:, 0]
    assert expected.amax() > 0
    torch.testing.assert_close(explain(GradCam, model, x, layer=layer), expected, rtol=0, atol=1e-5)


def test_note_names_layer_and_network() -> None:
    x = make_images()
    for model, note in (
        (own_network(), "looks into the layer 2 of the explained network"),
        (make_model(2), "looks into the layer 3 of the encoder"),
    ):
        target = make_query(model, x, TASKS["multilabel"])
        assert with_settings(GradCam).explain(model, x, target, context()).note == note


def test_unknown_layer_is_named() -> None:
    with pytest.raises(gvr.UsageError, match="layer 'layer4' is none of the network's layers"):
        explain(GradCam, own_network(), make_images(), layer="layer4")


def test_one_pixel_convolution_is_skipped():
    model = with_encoder(nn.Conv2d(3, 4, 4, 4), nn.SELU(), nn.Conv2d(4, 5, 4))
    x = make_images()
    expected = captums(model, model.encoder[1], x, 1.0)
    torch.testing.assert_close(explain(GradCam, model, x), expected, rtol=0, atol=1e-5)


def test_inplace_activation_leaves_map_alone():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        conv = nn.Conv2d(3, 4, 4, 4)
    x = make_images()
    beside = explain(GradCam, with_encoder(conv, nn.ReLU()), x)
    assert torch.equal(explain(GradCam, with_encoder(conv, nn.ReLU(inplace=True)), x), beside)
    assert beside.amax() > 0


def test_cam_variants_have_opposite_signs():
    """The one channel of the map is the brightness; the head adds it up, or subtracts it."""
    conv = nn.Conv2d(1, 1, 4, 4, bias=False)
    nn.init.constant_(conv.weight, 1 / 16)
    x = torch.full((1, 1, 16, 16), 0.25)
    x[..., 8:] = -0.5
    target = make_query(make_model(2), make_images(1), TASKS["multilabel"])
    sums = nn.Linear(16, 2)
    nn.init.constant_(sums.weight, 1.0)
    model = gvr.Model(
        frozen(nn.Sequential(conv, nn.Flatten())), frozen(nn.Identity()), frozen(sums)
    )
    heats = [
        with_settings(kind).explain(model, x, target, context()).attribution
        for kind in (GradCam, CounterfactualCam)
    ]
    assert heats[0][0, 0, 0] == 0.25
    assert heats[0][0, 0, -1] == 0
    assert heats[1][0, 0, 0] == 0
    assert heats[1][0, 0, -1] == -0.5


def test_batch_size_changes_only_rounding(monkeypatch):
    model, x = make_model(2), make_images()
    whole = explain(GradCam, model, x)
    monkeypatch.setattr(batching, "CPU_BUDGET", 1)
    assert batching.max_batch_size(x, gradients=True) == 1
    torch.testing.assert_close(explain(GradCam, model, x), whole, rtol=0, atol=1e-6)
