"""Rules for layers against captum, conservation, and networks that they do not fit."""

from __future__ import annotations

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from captum.attr._utils.lrp_rules import GammaRule
from gvr_explainers.deep_lift import DeepLift, Rescale
from gvr_explainers.guided_backprop import GuidedBackprop
from gvr_explainers.lrp import Lrp, Relevance
from gvr_heads.conv import Pool
from networks_of_images import SIZE, TASK, cnn, model_of, pictures
from small_parts import context, frozen, seeded
from test_explainers import make_query
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.pipeline.steps.cost import measuring

KINDS = (DeepLift, GuidedBackprop, Lrp)


def explain(kind: type[gvr.Explainer], model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASK)
    return kind(kind.Settings(**settings)).explain(model, x, target, context()).attribution


def model_with(*layers: nn.Module, bias: bool = True) -> gvr.Model:
    """Layers before a linear one, as an encoder."""

    def build() -> nn.Module:
        net = nn.Sequential(*layers, nn.Flatten())
        return nn.Sequential(net, nn.Linear(net(torch.zeros(1, 1, SIZE, SIZE)).shape[1], 2, bias))

    return gvr.Model(frozen(seeded(build)), frozen(nn.Identity()), frozen(nn.Identity()))


def test_guided_equals_captum_with_relu() -> None:
    model, x = model_of("cnn"), pictures()
    expected = captum.attr.GuidedBackprop(frozen(seeded(cnn, 1))).attribute(x, target=0)
    made = explain(GuidedBackprop, model, x)
    assert made.abs().max() > 1e-5
    torch.testing.assert_close(made, expected.sum(1), rtol=1e-3, atol=1e-7)


def test_guided_drops_what_lowers() -> None:
    """Two units of one pixel; the weight behind the second is negative."""
    wide, narrow = nn.Linear(1, 2, bias=False), nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        wide.weight.copy_(torch.tensor([[1.0], [2.0]]))
        narrow.weight.copy_(torch.tensor([[3.0, -5.0], [0.0, 0.0]]))
    net = nn.Sequential(nn.Flatten(), wide, nn.SELU(), narrow)
    model = gvr.Model(frozen(net), frozen(nn.Identity()), frozen(nn.Identity()))
    x = torch.full((1, 1, 1, 1), 0.5)
    scale = 1.0507009873554805
    torch.testing.assert_close(explain(GuidedBackprop, model, x), torch.tensor([[[3 * scale]]]))


def test_deep_lift_equals_captum_with_relu() -> None:
    """Without a maximum, where captum's maps do not add up: see the next test."""
    net, x = seeded(cnn, 1), pictures()
    net[3] = nn.AvgPool2d(2)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # as captum needs it
    model = gvr.Model(frozen(net), frozen(nn.Identity()), frozen(nn.Identity()))
    expected = captum.attr.DeepLift(net).attribute(x, baselines=-1.0, target=0)
    made = explain(DeepLift, model, x)
    assert made.abs().max() > 1e-4
    torch.testing.assert_close(made, expected.detach().sum(1), rtol=1e-3, atol=1e-7)


def test_deep_lift_follows_a_maximum_to_its_place() -> None:
    """The image's maximum is at the first pixel, the baseline's at the second."""
    pool = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    with torch.no_grad():
        pool[0].weight.fill_(1.0)
        pool[0].bias.fill_(1.0)
    image, baseline = torch.tensor([[3.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])

    class Fixed(Rescale):
        def outputs(self, model: gvr.Model, images: Tensor) -> Tensor:
            return model(torch.cat([images, baseline[None, None]]))[:1]

    model = gvr.Model(frozen(pool), frozen(nn.Identity()), frozen(nn.Identity()))
    target = make_query(model, image[None, None], gvr.Task("binary", ("mass",)))
    slope = Fixed(0.0).gradient(model, image[None, None], target)[0, 0]
    assert (slope * (image - baseline)).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    image.copy_(torch.tensor([[0.5, 1.0], [0.0, 0.0]]))
    baseline.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    slope = Fixed(0.0).gradient(model, image[None, None], target)[0, 0]
    assert (slope * (image - baseline)).tolist() == [[-1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("activation", [nn.SELU(), nn.GELU(), nn.Softplus(), nn.Tanh(), nn.ReLU()])
@pytest.mark.parametrize("baseline", ["black", "grey"])
def test_deep_lift_adds_up(activation: nn.Module, baseline: str) -> None:
    layers = [nn.Conv2d(1, 4, 3), activation, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), activation]
    model, x = model_with(*layers), pictures()
    level = {"black": -1.0, "grey": 0.0}[baseline]
    with torch.no_grad():
        gain = model(x)[:, 0] - model(torch.full_like(x, level))[:, 0]
    made = explain(DeepLift, model, x, baseline=baseline).sum((1, 2))
    assert gain.abs().min() > 1e-4
    torch.testing.assert_close(made, gain, rtol=1e-3, atol=1e-6)


class Convolutions(nn.Module):
    """Two convolutions and a last one as large as its input, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 12, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


def test_deep_lift_adds_up_behind_the_maximum_of_a_map() -> None:
    """As the head `conv` pools its maps."""
    layers = nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.SiLU(), Pool()
    model, x = model_with(*layers), pictures()
    target = make_query(model, x, TASK)
    black = torch.full_like(x, -1)
    expected = target.source_output(model(x)) - target.source_output(model(black))
    made = explain(DeepLift, model, x).flatten(1).sum(1)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-6)


def test_lrp_equals_captums_gamma_rule() -> None:
    """For images and activations of zero or more and positive outputs; captum's has sum 1."""
    net, x = frozen(seeded(Convolutions)), pictures().clamp(min=0)
    net.layers[-1].weight.abs_()
    model = gvr.Model(net, frozen(nn.Identity()), frozen(nn.Identity()))
    made, outputs = explain(Lrp, model, x), model(x)[:, 0]
    for layer in net.layers:
        if isinstance(layer, nn.Conv2d):
            layer.rule = GammaRule(0.25)
    expected = captum.attr.LRP(net).attribute(x, target=0).detach()[:, 0]
    assert outputs.min() > 0
    scale = outputs[:, None, None] / expected.sum((1, 2), keepdim=True)
    torch.testing.assert_close(made, expected * scale, rtol=1e-3, atol=1e-6)


def test_gamma_zero_is_input_x_gradient() -> None:
    model, x = model_of("cnn"), pictures()
    free = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(free)[:, 0].sum(), free)
    target = make_query(model, x, TASK)
    relevance = Relevance(0.0).gradient(model, x, target) * x
    torch.testing.assert_close(relevance, slope * x, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("activation", [nn.SELU(), nn.Tanh(), nn.LeakyReLU(), nn.ELU()])
def test_relevance_is_conserved_without_biases(activation: nn.Module) -> None:
    layers = [nn.Conv2d(1, 4, 3, bias=False), activation, nn.AvgPool2d(2),
              nn.Conv2d(4, 4, 3, bias=False), activation]  # fmt: skip
    model, x = model_with(*layers, bias=False), pictures()
    with torch.no_grad():
        outputs = model(x)[:, 0]
    assert outputs.abs().min() > 1e-3
    torch.testing.assert_close(explain(Lrp, model, x).sum((1, 2)), outputs, rtol=1e-3, atol=1e-5)


def test_functions_get_rules_as_modules_do() -> None:
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(F.selu(self.conv(x)), 2)

    conv = nn.Conv2d(1, 4, 3)
    called = Called()
    called.conv = conv
    x = pictures()
    for kind in KINDS:
        modules = explain(kind, model_with(conv, nn.SELU(), nn.MaxPool2d(2)), x)
        torch.testing.assert_close(explain(kind, model_with(called), x), modules)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_unsupported(kind: type[gvr.Explainer]) -> None:
    with pytest.raises(gvr.Unsupported, match="has no rule for layer_norm"):
        explain(kind, model_of("vit"), pictures())


@pytest.mark.parametrize("kind", [GuidedBackprop, Lrp])
def test_activation_that_falls_is_unsupported(kind: type[gvr.Explainer]) -> None:
    with pytest.raises(gvr.Unsupported, match="has no rule for gelu"):
        explain(kind, model_with(nn.Conv2d(1, 4, 3), nn.GELU()), pictures())


@pytest.mark.parametrize("kind", KINDS)
def test_gates_and_linear_networks_are_unsupported(kind: type[gvr.Explainer]) -> None:
    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.sigmoid()

    with pytest.raises(gvr.Unsupported, match="has no rule for mul"):
        explain(kind, model_with(Gate()), pictures())
    with pytest.raises(gvr.Unsupported, match="it is the plain gradient"):
        explain(kind, model_with(nn.Conv2d(1, 4, 3)), pictures())


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_that_count_passes_are_no_functions(kind: type[gvr.Explainer]) -> None:
    model, x = model_of("latents"), pictures()
    with measuring(model, x.device) as cost:
        explain(kind, model, x)
    assert cost.evaluations == len(x) * (5 if kind is DeepLift else 3)  # one to choose the target
