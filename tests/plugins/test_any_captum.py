"""captum's classes by name: their values, their arguments, and where they do not apply."""

from __future__ import annotations

import captum.attr
import pytest
import torch
from gvr_explainers.captum_methods import arguments_of, method_name, methods, parsed
from networks_of_images import cnn, context_of, model_of, pictures, target_of
from small_parts import frozen, seeded
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.core.errors import UsageError
from gvr_bench.registry.registry import installed


def explain(kind: str, name: str, x: Tensor, **typed: str) -> Tensor:
    cls, settings = installed().settings("explainer", "captum", "quick", {"": name, **typed})
    model = model_of(kind)
    return cls(settings).explain(model, x, target_of(len(x)), context_of(model)).attribution


def test_deconvolution_is_that_of_captum() -> None:
    x = pictures(2)
    expected = captum.attr.Deconvolution(frozen(seeded(cnn, 1))).attribute(x, target=0)
    torch.testing.assert_close(explain("cnn", "Deconvolution", x), expected.sum(1))


def test_typed_arguments_reach_captum() -> None:
    x, model = pictures(2), model_of("latents")
    made = explain("latents", "occlusion", x, sliding_window_shapes="1+8+8", strides="1+4+4",
                   baselines="-1")  # fmt: skip
    expected = captum.attr.Occlusion(model).attribute(
        x, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), baselines=-1, target=0
    )
    torch.testing.assert_close(made, expected.sum(1), rtol=1e-4, atol=1e-5)
    made = explain("latents", "IntegratedGradients", x, method="riemann_left", n_steps="7")
    expected = captum.attr.IntegratedGradients(model).attribute(
        x, method="riemann_left", n_steps=7, target=0
    )
    torch.testing.assert_close(made, expected.sum(1).float(), rtol=1e-4, atol=1e-5)


def test_required_baselines_are_training_images() -> None:
    x, images = pictures(1), pictures(60)
    net = frozen(seeded(cnn, 1))
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    expected = captum.attr.DeepLiftShap(net).attribute(
        x, baselines=images[torch.arange(50) * 60 // 50], target=0
    )
    torch.testing.assert_close(explain("cnn", "DeepLiftShap", x), expected.detach().sum(1))


def test_features_are_superpixels() -> None:
    made = explain("latents", "ShapleyValueSampling", pictures(1), segments="6", n_samples="2")
    assert 2 <= len(made.unique()) <= 9


@pytest.mark.parametrize("name", ["GuidedBackprop", "Deconvolution", "DeepLift", "DeepLiftShap"])
@pytest.mark.parametrize("kind", ["latents", "vit"])
def test_plain_gradient_in_disguise_is_unsupported(kind: str, name: str) -> None:
    with pytest.raises(gvr.Unsupported, match=f"captum's {name} changes .* this network has none"):
        explain(kind, name, pictures(1))


def test_refusal_of_captum_is_the_reason() -> None:
    with pytest.raises(gvr.Unsupported, match=r"captum's LRP: Module of type .*SELU"):
        explain("latents", "LRP", pictures(1))


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("LayerGradCam", {}, "LayerGradCam needs more than a network and images"),
        ("NoiseTunnel", {}, "NoiseTunnel needs more than a network and images"),
        ("Deeplit", {}, "captum has no 'Deeplit'; did you mean 'DeepLift'?"),
        ("DeepLift", {"baseline": "0"}, "takes no 'baseline'; did you mean 'baselines'?"),
        ("ShapleyValues", {}, "tries every order of the superpixels; type segments=7"),
    ],
)
def test_what_cannot_be_run_is_refused(name: str, typed: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        installed().settings("explainer", "captum", "quick", {"": name, **typed})


def test_arguments_are_part_of_the_key() -> None:
    _, settings = installed().settings(
        "explainer", "captum", "quick", {"": "deep-lift", "baselines": "0.5"}
    )
    assert settings.model_dump(mode="json") == {
        "attributor": "DeepLift", "segments": 50, "baselines": 0.5,
    }  # fmt: skip


def test_every_method_of_captum_without_a_layer_is_there() -> None:
    assert {"IntegratedGradients", "DeepLift", "LRP", "KernelShap", "GradientShap"} <= set(
        methods()
    )
    assert not any(name.startswith(("Layer", "Neuron")) for name in methods())
    assert method_name("integrated_gradients") == "IntegratedGradients"
    assert "inputs" not in arguments_of("Saliency")


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("none", None), ("1+8+8", (1, 8, 8)), ("abs", "abs")],
)
def test_typed_values_are_read(text: str, value: object) -> None:
    assert parsed(text) == value
