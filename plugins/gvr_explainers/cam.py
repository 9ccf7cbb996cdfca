"""Grad-CAM (Selvaraju et al. 2017; Zhou et al. 2016)."""

from __future__ import annotations

import difflib
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size

NO_MAP = "Grad-CAM needs a convolution, and a layer behind it with more than one pixel"


@dataclass(frozen=True)
class LayerMaps:
    """A layer's output for images, (N, channels, h, w), its name, and the outputs (N, K)."""

    maps: Tensor
    layer: str
    outputs: Tensor


class GradCam(gvr.Explainer):
    """What both signs of Grad-CAM share."""

    version = "2"

    class Settings(gvr.Settings):
        """The layer that is looked into."""

        layer: str = Field(
            "", description="name of a layer, e.g. layer4; default: the last with a spatial map"
        )

    settings: Settings

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget
    ) -> tuple[Tensor, str]:
        """Return the sum of a layer's channels, each times its mean gradient: (N, 1, h, w).

        Also says which layer of which network. Raises `Unsupported` where there is no map.
        """
        parts = []
        for part in batches(len(x), max_batch_size(x, gradients=True)):
            with torch.enable_grad():
                inside = layer_maps(model, x[part], self.settings.layer)
                output = target[part].source_output(inside.outputs).sum()
                (slope,) = torch.autograd.grad(output, inside.maps)
            weights = slope.mean(dim=(2, 3), keepdim=True)
            parts.append((weights * inside.maps.detach()).sum(dim=1, keepdim=True))
        whose = "encoder" if model.classifier is None else "explained network"
        return torch.cat(parts), f"looks into the layer {inside.layer} of the {whose}"


class Cam(GradCam):
    """Where a layer of the network speaks for the output; never negative."""

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Weigh channels by their mean gradient, rectify, and upsample bilinearly.

        Raises `Unsupported` where the network has no spatial map.
        """
        maps, note = self.weighted(model, x, target)
        return gvr.Explanation(attribution=upsample(F.relu(maps), x), note=note)


class CounterfactualCam(GradCam):
    """Where a layer of the network speaks against the output; never positive.

    Grad-CAM of the negated gradients (Selvaraju et al. 2017, counterfactual explanations), negated
    because a positive attribution speaks for the output.
    """

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Return the part that `cam` rectifies away.

        Raises `Unsupported` where the network has no spatial map.
        """
        maps, note = self.weighted(model, x, target)
        return gvr.Explanation(attribution=-upsample(F.relu(-maps), x), note=note)


def layer_maps(model: gvr.Model, x: Tensor, name: str = "") -> LayerMaps:
    """Predict `x` (N, C, H, W), and return the output of a layer with more than one pixel.

    The layer is the one of that name, by default the last from the first convolution on, of the
    user's own network or else of the encoder. Raises `Unsupported` where there is none, and
    `UsageError` for an unknown name.
    """
    network = model.classifier if model.classifier is not None else model.encoder
    layers = {part: layer for part, layer in network.named_modules() if part}
    # A wrapped network is called net, a prefix that its owner does not know.
    names = [part for part in (name, f"net.{name}") if part in layers][:1] if name else layers
    if name and not names:
        close = difflib.get_close_matches(name, layers, n=5, cutoff=0.0)
        raise gvr.UsageError(
            f"cam: layer '{name}' is none of the network's layers, e.g. "
            f"{', '.join(part.removeprefix('net.') for part in close)}"
        )
    stored: list[tuple[str, Tensor]] = []
    convolved = bool(name)

    def store(part: str, output: object) -> Tensor | None:
        """Keep what has pixels, and protect it from in-place activations."""
        nonlocal convolved
        convolved = convolved or isinstance(layers[part], nn.Conv2d)
        if not isinstance(output, Tensor) or output.dim() != 4:
            return None
        if convolved and output.shape[2:].numel() > 1 and output.requires_grad:
            stored[:] = [(part, output)]
        return output.clone()

    with ExitStack() as hooks:
        for part in names:
            hook = lambda _layer, _inputs, output, part=part: store(part, output)  # noqa: E731
            hooks.callback(layers[part].register_forward_hook(hook).remove)
        outputs = model(x.detach().requires_grad_())
    if not stored:
        raise gvr.Unsupported(NO_MAP)
    layer, maps = stored[0]
    return LayerMaps(maps, layer.removeprefix("net."), outputs)


def upsample(maps: Tensor, x: Tensor) -> Tensor:
    """Resize maps (N, 1, h, w) to the images: (N, H, W)."""
    return F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
