"""Every explainer on three kinds of model: a number or a reason, and no row twice."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from networks_of_images import context_of, model_of, pictures, target_of
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.registry.registry import installed

KINDS = ("latents", "cnn", "vit")
FEW = {
    **{name: {"samples": 200} for name in ("kernel-shap", "lime", "rise")},
    **{name: {"steps": 20} for name in ("gvr", "gvr-robust", "xgem", "dive")},
}
NOT_HERE = {  # beside these, every method applies
    ("cnn", "hires-cam"): "as in grad-cam; name an earlier layer",
    ("vit", "deep-lift"): "DeepLIFT has no rule for layer_norm",
    ("vit", "guided-backprop"): "guided backpropagation has no rule for layer_norm",
    ("vit", "lrp"): "layer-wise relevance propagation has no rule for layer_norm",
}


def names() -> list[str]:
    """All but controls."""
    plugins = installed().plugins("explainer")
    return [
        plugin.name
        for plugin in plugins
        if plugin.selection != "name"
        and installed().component("explainer", plugin.name).role != "control"
    ]


UNREACHED = {("vit", "growing-spheres")}  # no sphere of an untrained network holds the other side


@functools.cache
def maps_of(kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The maps (4, 32 * 32) of every method that applies to a model, and the others' reasons."""
    model, x = model_of(kind), pictures()
    target, ctx = target_of(len(x)), context_of(model)
    latent = model.encoder(x)
    outputs = torch.cat([model(x), model(model.generator(latent)), model.head(latent)])
    lowest = outputs[:, 0].sigmoid().min().expand(len(x))
    target = dataclasses.replace(target, threshold=lowest - 2e-3, reference_value=lowest - 3e-3)
    maps, reasons = {}, {}
    for name in names():
        cls, settings = installed().settings("explainer", name, "quick", FEW.get(name, {}))
        try:
            made = cls(settings).explain(model, x, target, ctx).attribution
        except gvr.Unsupported as reason:
            reasons[name] = str(reason)
        else:
            maps[name] = made.flatten(1)
    return maps, reasons


@pytest.mark.parametrize("kind", KINDS)
def test_each_method_gives_maps_or_a_reason(kind: str) -> None:
    maps, reasons = maps_of(kind)
    assert {name for k, name in NOT_HERE if k == kind} == reasons.keys()
    for name, reason in reasons.items():
        assert NOT_HERE[kind, name] in reason
    for name, made in maps.items():
        assert made.isfinite().all(), name
        assert (made.std(dim=1) > 0).any() == ((kind, name) not in UNREACHED), name


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_methods_are_duplicates(kind: str) -> None:
    """Searches in a latent of four numbers find the same; see the test on a trained model."""
    maps = {
        name: made
        for name, made in maps_of(kind)[0].items()
        if installed().component("explainer", name).role == "attribution"
    }
    assert len(maps) > 15
    unit = {}
    for name, made in maps.items():
        centred = made - made.mean(1, keepdim=True)
        unit[name] = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-12)
    for name, own in unit.items():
        for other in list(unit)[: list(unit).index(name)]:
            correlation = (own * unit[other]).sum(1).mean().item()
            assert correlation < 0.999, f"{name} and {other}: {correlation}"
