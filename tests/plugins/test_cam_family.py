"""Each class activation map against its formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gvr_explainers.cam import GradCam, GradCamPlusPlus, GradientCam, HiResCam, LayerCam
from gvr_explainers.cam_base import upsample
from gvr_explainers.eigen_cam import EigenCam
from gvr_explainers.score_cam import ScoreCam
from networks_of_images import TASK, model_of, pictures
from small_parts import context
from test_explainers import make_query
from torch import Tensor

import gvr_bench.api as gvr

LAST, EARLIER = "5", "3"  # maps of 4 x 4 and of 8 x 8 pixels


def explain(kind: type[gvr.Explainer], model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASK)
    return kind(kind.Settings(**settings)).explain(model, x, target, context()).attribution


def maps_and_slope(model: gvr.Model, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """The layer's output and the gradient by it, by cutting the encoder in two."""
    place = int(layer) + 1
    maps = model.encoder[:place](x).requires_grad_()
    output = model.head(model.encoder[place:](maps))[:, 0].sum()
    return maps.detach(), torch.autograd.grad(output, maps)[0]


def formula(kind: type[GradientCam], maps: Tensor, slope: Tensor) -> Tensor:
    """One map per image by the definitions of the papers."""
    if kind is GradCam:
        return F.relu(torch.einsum("nc,nchw->nhw", slope.mean((2, 3)), maps))
    if kind is HiResCam:
        return (slope * maps).sum(1)
    if kind is LayerCam:
        return F.relu((slope.clamp(min=0) * maps).sum(1))
    total = maps.sum((2, 3), keepdim=True)
    alpha = slope**2 / (2 * slope**2 + total * slope**3)
    return F.relu(torch.einsum("nc,nchw->nhw", (alpha * slope.clamp(min=0)).sum((2, 3)), maps))


@pytest.mark.parametrize("kind", [GradCam, GradCamPlusPlus, HiResCam, LayerCam])
@pytest.mark.parametrize("layer", [LAST, EARLIER])
def test_maps_follow_the_formula(kind: type[GradientCam], layer: str) -> None:
    model, x = model_of("latents"), pictures()
    expected = upsample(formula(kind, *maps_and_slope(model, x, layer))[:, None], x)
    assert expected.abs().amax() > 0
    torch.testing.assert_close(explain(kind, model, x, layer=layer), expected)


def test_layer_cam_looks_at_finer_maps() -> None:
    model, x = model_of("latents"), pictures()
    assert torch.equal(explain(LayerCam, model, x), explain(LayerCam, model, x, layer=EARLIER))
    assert torch.equal(explain(HiResCam, model, x), explain(HiResCam, model, x, layer=LAST))


def test_hires_adds_up_before_a_linear_layer() -> None:
    model, x = model_of("latents"), pictures()
    maps, slope = maps_and_slope(model, x, LAST)
    with torch.no_grad():
        bias = model.head(model.encoder[6:](torch.zeros_like(maps)))[:, 0]
        outputs = model(x)[:, 0]
    torch.testing.assert_close((slope * maps).sum((1, 2, 3)), outputs - bias, rtol=0, atol=1e-5)


def test_global_pooling_leaves_grad_cam_alone() -> None:
    model, x = model_of("cnn"), pictures()
    with pytest.raises(gvr.Unsupported, match="as in grad-cam; name an earlier layer"):
        explain(HiResCam, model, x)
    with pytest.raises(gvr.Unsupported, match="global average pooling"):
        explain(LayerCam, model, x, layer="7")
    assert explain(LayerCam, model, x).abs().amax() > 0
    assert explain(HiResCam, model, x, layer="4").abs().amax() > 0


def test_score_cam_weighs_by_masked_outputs() -> None:
    model, x = model_of("latents"), pictures(2)
    maps, _ = maps_and_slope(model, x, LAST)
    for i, image in enumerate(x):
        outputs = []
        for channel in maps[i]:
            mask = (channel - channel.min()) / (channel.max() - channel.min())
            mask = F.interpolate(mask[None, None], x.shape[2:], mode="bilinear")
            outputs.append(model(image[None] * mask)[0, 0])
        weights = torch.stack(outputs).softmax(0)
        expected = F.relu((weights[:, None, None] * maps[i]).sum(0))
        made = explain(ScoreCam, model, x)[i]
        torch.testing.assert_close(made, upsample(expected[None, None], x[:1])[0])


def test_score_cam_hides_behind_its_replacement() -> None:
    model, x = model_of("latents"), pictures(2)
    assert not torch.allclose(
        explain(ScoreCam, model, x), explain(ScoreCam, model, x, replacement=-1.0)
    )


def test_eigen_cam_is_the_first_component() -> None:
    model, x = model_of("latents"), pictures()
    maps, _ = maps_and_slope(model, x, LAST)
    for made, own in zip(explain(EigenCam, model, x), maps, strict=True):
        rows = own.flatten(1).T.double()  # pixels x channels
        _, vectors = torch.linalg.eigh(rows.T @ rows)
        first = (rows @ vectors[:, -1]).view(own.shape[1:])
        first = first * first.sum().sign()
        expected = upsample(F.relu(first)[None, None].float(), x[:1])[0]
        torch.testing.assert_close(made, expected, rtol=1e-3, atol=1e-4)


def test_eigen_cam_ignores_the_output() -> None:
    model, x = model_of("latents"), pictures()
    target = make_query(model, x, TASK)
    other = gvr.ExplanationTarget(
        TASK, target.source_class + 1, target.target_class + 1, target.threshold,
        target.reference_value,
    )  # fmt: skip
    for kind, same in ((EigenCam, True), (GradCam, False)):
        explainer = kind(kind.Settings())
        a, b = (explainer.explain(model, x, t, context()).attribution for t in (target, other))
        assert torch.equal(a, b) == same
