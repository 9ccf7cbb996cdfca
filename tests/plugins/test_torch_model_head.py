from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from gvr_explainers.cam import GradCam
from gvr_explainers.saliency import Saliency
from gvr_torch_models.head import Classifier, TorchHead
from gvr_torch_models.image_normalization import ImageNormalization, ImageSettings
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from small_parts import context, frozen
from test_explainers import make_model, make_query
from torch import Tensor, nn

import gvr_bench.api as gvr

BINARY = gvr.Task("binary", ("mass",))
TWO = gvr.Task("multilabel", ("mass", "fluid"))
THREE = gvr.Task("multiclass", ("a", "b", "c"), source=0, target=1)
CLASSES = gvr.Task("multiclass", ("well", "ill"), source=1, target=0)
BNP = gvr.Task("regression", ("BNP",), "ng/L", threshold=100.0, scale=gvr.Scale(True, 10))
NONE = gvr.Latents(torch.zeros(0, 4), torch.zeros(0, 1))

NETWORK = """
from torch import nn

def network(channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 3))
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a network with weights that a training left."""
    monkeypatch.chdir(tmp_path)
    name = f"nets_of_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(NETWORK)
    net = bare()
    net(torch.randn(50, 1, 8, 8) * 3 + 1)  # moves the running means
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    return {"factory": f"{name}:network", "weights": tmp_path / "w.safetensors"}


def bare() -> nn.Module:
    """The network itself."""
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    net: nn.Module = scope["network"]()
    return net


def head(**settings: Any) -> TorchHead:
    return TorchHead(TorchHead.Settings(**settings))


class Says(nn.Module):
    """Answers every image with the same numbers, whatever is in it."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = torch.tensor(numbers)

    def forward(self, x: Tensor) -> Tensor:
        return self.numbers.expand(len(x), -1) + 0 * x.sum()


def outputs(task: gvr.Task, *numbers: float, **settings: Any) -> list[float]:
    """What becomes of a network's numbers for one image."""
    whole = TorchHead.Settings(factory="a:b", **settings)
    found: Tensor = Classifier(Says(*numbers), whole, task)(torch.zeros(1, 1, 4, 4))
    return found[0].tolist()


def test_too_many_outputs_must_be_chosen() -> None:
    with pytest.raises(gvr.UsageError) as caught:
        outputs(TWO, 1, 2, 3)
    assert str(caught.value) == (
        "head 'torch-model' has 3 outputs and the task has 2 (mass, fluid); select them in this "
        "order, e.g. outputs=0+1"
    )


def test_missing_output_is_refused() -> None:
    with pytest.raises(gvr.UsageError, match=r"1 x 2 for 1 images, without the outputs 0\+2"):
        outputs(TWO, 1, 2, outputs="0+2")


@pytest.mark.parametrize("outputs_", ["-1+0", "a", "1,2"])
def test_output_is_a_position(outputs_: str) -> None:
    with pytest.raises(ValidationError):
        TorchHead.Settings(factory="a:b", outputs=outputs_)


@pytest.mark.parametrize(
    ("task", "numbers", "settings", "expected"),
    [
        (THREE, (1, 2, 3), {}, [1, 2, 3]),
        (TWO, (1, 2, 3), {"outputs": "2+0"}, [3, 1]),
        (TWO, (1, 2, 3), {"outputs": [2, 0]}, [3, 1]),
        (BINARY, (1, 2, 5), {"outputs": "2"}, [5]),
        (BINARY, (1, 2, 5), {"outputs": 2}, [5]),
        (BINARY, (1, 4), {}, [3]),  # softmax of two logits is the sigmoid of their difference
        (BINARY, (1, 4), {"outputs": "1+0"}, [-3]),
        (BINARY, (0.2, 0.8), {"probabilities": True}, [math.log(4)]),
        (BINARY, (0.8,), {"probabilities": "true"}, [math.log(4)]),
        (BINARY, (1e-9, 1.0), {"probabilities": True}, [math.log(1e9)]),
        (TWO, (0.5, 1.0), {"probabilities": True}, [0, math.log(1e6 - 1)]),
        (THREE, (0.5, 0.25, 0.25), {"probabilities": True}, [-math.log(x) for x in (2, 4, 4)]),
        (CLASSES, (3,), {}, [-1.5, 1.5]),  # whose softmax is the sigmoid of 3
        (CLASSES, (0.8,), {"probabilities": True}, [-math.log(2), math.log(2)]),
        (BINARY, (2,), {"factor": 0.5, "offset": 1}, [2]),
        (BNP, (0.7,), {}, [0.7]),
        (BNP, (2,), {"factor": math.log(10) / 10}, [math.log(100) / 10]),  # log10 of BNP
        (BNP, (100,), {"in_unit": True}, [math.log(100) / 10]),
        (BNP, (1,), {"factor": 1000, "in_unit": True}, [math.log(1000) / 10]),  # ug/L
    ],
)  # fmt: skip
def test_outputs_are_mapped_to_task(
    task: gvr.Task, numbers: tuple[float, ...], settings: dict[str, Any], expected: list[float]
) -> None:
    assert outputs(task, *numbers, **settings) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_class_probabilities_are_preserved() -> None:
    found = torch.tensor(outputs(THREE, 0.5, 0.3, 0.2, probabilities=True)).softmax(0)
    assert found.tolist() == pytest.approx([0.5, 0.3, 0.2])


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        (BINARY, {"in_unit": True}, "in_unit is for regression, not binary"),
        (BNP, {"probabilities": True}, "probabilities are not for regression"),
    ],
)
def test_settings_of_other_tasks_are_refused(given, task, settings, said) -> None:
    with pytest.raises(gvr.UsageError, match=said):
        head(**given, **settings).build(4, task)


class Answers(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x.flatten(1)[:, :3])


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (lambda y: (None, y), "1"),
        (lambda y: {"logits": y, "aux": y + 1}, "logits"),
        (lambda y: [y], 0),
    ],
)
def test_part_of_output_is_selected(answer, part) -> None:
    settings = TorchHead.Settings(factory="a:b", part=part)
    assert Classifier(Answers(answer), settings, THREE)(torch.zeros(2, 1, 2, 2)).shape == (2, 3)


@pytest.mark.parametrize(
    ("answer", "part", "said"),
    [
        (lambda y: (y, y), "", r"returns tuple; select a tensor with .* part=0"),
        (lambda y: {"logits": y}, "", r"returns dict; .* one of logits"),
        (lambda y: (y, y), "2", "tuple has no part '2'"),
        (lambda y: {"logits": y}, "logit", "dict has no part 'logit'"),
    ],
)
def test_several_outputs_need_a_part(answer, part, said) -> None:
    settings = TorchHead.Settings(factory="a:b", part=part)
    with pytest.raises(gvr.UsageError, match=said):
        Classifier(Answers(answer), settings, THREE)(torch.zeros(2, 1, 2, 2))


def seen(x: Tensor, **settings: Any) -> Tensor:
    return ImageNormalization(ImageSettings(factory="a:b", **settings))(x)


def test_images_are_mapped_to_range() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)
    assert seen(x).flatten().tolist() == [0, 0.5, 1]
    assert seen(x, low="-1024", high=1024).flatten().tolist() == [-1024, 0, 1024]
    assert seen(x, mean="0.5", std=0.25).flatten().tolist() == [-2, 0, 2]


def test_channels_are_repeated_or_weighted() -> None:
    grey, colour = torch.full((1, 1, 2, 2), 0.2), torch.eye(3).view(3, 3, 1, 1)
    assert seen(grey, channels=3).shape == (1, 3, 2, 2)
    assert (seen(colour, channels="1").flatten() * 2 - 1).tolist() == pytest.approx(
        [0.299, 0.587, 0.114]
    )
    assert seen(grey, channels=1).shape == (1, 1, 2, 2)


def test_channels_are_normalised_separately() -> None:
    x = seen(torch.zeros(1, 1, 1, 1), channels=3, mean="0.5+0.25+0", std=[1, 0.5, 0.1])
    assert x.flatten().tolist() == pytest.approx([0, 0.5, 5])


def test_grey_images_need_one_mean() -> None:
    with pytest.raises(gvr.UsageError, match="mean has 3 numbers for images of 1 channel; set"):
        seen(torch.zeros(1, 1, 2, 2), mean="0.5+0.5+0.5")


def test_resizing_passes_gradients() -> None:
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    y = seen(x, size="16")
    assert y.shape == (1, 1, 16, 16)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.min() > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"low": 1}, "must differ"), ({"std": "0.2+0"}, "hold 0"), ({"channels": 2}, "1 or 3")],
)
def test_invalid_image_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ImageSettings(factory="a:b", **settings)


def test_fit_restores_shuffled_weights(given) -> None:
    made = head(**given)
    net = made.build(4, THREE)
    x = torch.rand(5, 1, 8, 8) * 2 - 1
    first = net(x)
    made.fit(net, NONE, NONE, THREE, context())
    state = {name.removeprefix("net."): value for name, value in net.state_dict().items()}
    for name, value in load_file(given["weights"]).items():
        assert torch.equal(state[name], value), name
    assert not torch.allclose(net(x), first)
    assert state.keys() == load_file(given["weights"]).keys()


def test_network_stays_in_eval_mode(given) -> None:
    net = head(**given).build(4, THREE).train()
    before = net.net[1].running_mean.clone()
    net(torch.randn(4, 1, 8, 8))
    assert torch.equal(net.net[1].running_mean, before)


def exported(net: nn.Module, path: Path) -> None:
    n = torch.export.Dim("n", min=1, max=4096)
    torch.export.save(
        torch.export.export(net.eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: n},)), path
    )


def scripted(net: nn.Module, path: Path) -> None:
    torch.jit.script(net.eval()).save(path)


@pytest.mark.parametrize(("save", "name"), [(scripted, "net.pt"), (exported, "net.pt2")])
def test_file_predicts_like_its_network(
    given, tmp_path: Path, save: Callable[[nn.Module, Path], None], name: str
) -> None:
    net, x = bare(), torch.rand(5, 1, 8, 8) * 2 - 1
    save(net, tmp_path / name)
    made = head(file=tmp_path / name)
    built = made.build(4, THREE)
    expected = net.eval()((x + 1) / 2)
    assert not torch.allclose(built(x), expected, atol=1e-4)
    made.fit(built, NONE, NONE, THREE, context())
    built.eval().requires_grad_(False)
    for part in (x, x[:1]):
        assert torch.allclose(built(part), net((part + 1) / 2), atol=1e-5)
    again = made.build(4, THREE)
    again.load_state_dict(built.state_dict())
    assert torch.equal(again(x), built(x))
    x.requires_grad_()
    built(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(("low", "unit"), [(-1.0, 1.0), (0.0, 0.5)])
def test_maps_are_captums_of_bare_network(given, low: float, unit: float) -> None:
    """`unit` is a step of the image, which goes from -1 to 1, in values of the network."""
    made, x = head(**given, low=low), torch.rand(5, 1, 8, 8) * 2 - 1
    wrapped, net = made.build(4, THREE), bare()
    made.fit(wrapped, NONE, NONE, THREE, context())
    net.load_state_dict(load_file(given["weights"]))
    model = dataclasses.replace(make_model(3), classifier=frozen(wrapped))
    target, inputs = make_query(model, x, THREE), (1 + (x - 1) * unit).requires_grad_()
    slope = unit * captum.attr.Saliency(net.eval()).attribute(inputs, target=0)[:, 0]
    cam = captum.attr.LayerGradCam(net, net[2]).attribute(inputs, target=0)
    cam = F.interpolate(F.relu(cam), x.shape[2:], mode="bilinear")[:, 0]
    for kind, expected in ((Saliency, slope), (GradCam, cam.detach())):
        peak = expected.amax()
        assert peak > 0
        made_map = kind(kind.Settings()).explain(model, x, target, context()).attribution
        torch.testing.assert_close(made_map / peak, expected / peak, rtol=0, atol=1e-5)


def test_factory_without_weights_is_seeded(given) -> None:
    made = head(factory=given["factory"])
    one, two = (made.build(4, THREE) for _ in range(2))
    for net in (one, two):
        torch.rand(1)  # what is drawn elsewhere must not matter
        made.fit(net, NONE, NONE, THREE, context(seed=3))
    x = torch.zeros(1, 1, 8, 8)
    assert torch.equal(one(x), two(x))
