"""What methods that look into a layer share: its maps, and how they are resized."""

from __future__ import annotations

import difflib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size

NO_MAP = "it needs a convolution, and a layer behind it with more than one pixel"


@dataclass(frozen=True)
class LayerMaps:
    """A layer's output for images, (N, channels, h, w), its name, and the outputs (N, K)."""

    maps: Tensor
    layer: str
    outputs: Tensor


class LayerExplainer(gvr.Explainer):
    """Weighs the maps of one layer."""

    rectified: ClassVar[bool] = True  # maps of methods that show no negative values
    finer: ClassVar[bool] = False  # by default looks before the last change of the maps' size

    class Settings(gvr.Settings):
        """The layer that is looked into."""

        layer: str = Field(
            "", description="name of a layer, e.g. layer4; default: the last with a spatial map"
        )

    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Weigh the layer's maps, rectify, and upsample bilinearly.

        Raises `Unsupported` where the network has no spatial map.
        """
        parts = []
        for part in batches(len(x), max_batch_size(x, gradients=True)):
            with torch.enable_grad():
                inside = layer_maps(model, x[part], self.settings.layer, self.finer)
            parts.append(self.weighted(model, x[part], target[part], inside))
        maps = torch.cat(parts)
        attribution = upsample(F.relu(maps) if self.rectified else maps, x)
        whose = "encoder" if model.classifier is None else "explained network"
        note = f"looks into the layer {inside.layer} of the {whose}"
        return gvr.Explanation(attribution=attribution, note=note)

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, inside: LayerMaps
    ) -> Tensor:
        """Combine the channels of a layer into one map per image: (N, 1, h, w)."""
        raise NotImplementedError


class GradientCam(LayerExplainer):
    """Weighs the maps of one layer by the output's gradient by them."""

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, inside: LayerMaps
    ) -> Tensor:
        """Compute the gradient, and combine it with the maps."""
        (slope,) = torch.autograd.grad(target.source_output(inside.outputs).sum(), inside.maps)
        return self.combine(inside.maps.detach(), slope).sum(dim=1, keepdim=True)

    def combine(self, maps: Tensor, slope: Tensor) -> Tensor:
        """Return what each channel contributes, all of them (N, channels, h, w)."""
        raise NotImplementedError


def layer_maps(model: gvr.Model, x: Tensor, name: str = "", finer: bool = False) -> LayerMaps:
    """Predict `x` (N, C, H, W), and return the output of a layer with more than one pixel.

    The layer is the one of that name, by default the last from the first convolution on, of the
    user's own network or else of the encoder; if `finer`, the last whose map has another size than
    that one's. Raises `Unsupported` where there is none, and
    `UsageError` for an unknown name.
    """
    network = model.classifier if model.classifier is not None else model.encoder
    layers = {part: layer for part, layer in network.named_modules() if part}
    # A wrapped network is called net, a prefix that its owner does not know.
    names = [part for part in (name, f"net.{name}") if part in layers][:1] if name else layers
    if name and not names:
        close = difflib.get_close_matches(name, layers, n=5, cutoff=0.0)
        raise gvr.UsageError(
            f"explainer: layer '{name}' is none of the network's layers, e.g. "
            f"{', '.join(part.removeprefix('net.') for part in close)}"
        )
    stored: dict[int, tuple[str, Tensor]] = {}  # by pixels, the last layer behind the others
    convolved = bool(name)

    def store(part: str, output: object) -> Tensor | None:
        """Keep what has pixels, and protect it from in-place activations."""
        nonlocal convolved
        convolved = convolved or isinstance(layers[part], nn.Conv2d)
        if not isinstance(output, Tensor) or output.dim() != 4:
            return None
        pixels = output.shape[2:].numel()
        if convolved and pixels > 1 and output.requires_grad:
            stored.pop(pixels, None)
            stored[pixels] = (part, output)
        return output.clone()

    with ExitStack() as hooks:
        for part in names:
            hook = lambda _layer, _inputs, output, part=part: store(part, output)  # noqa: E731
            hooks.callback(layers[part].register_forward_hook(hook).remove)
        outputs = model(x.detach().requires_grad_())
    if not stored:
        raise gvr.Unsupported(NO_MAP)
    last = list(stored.values())
    layer, maps = last[-2] if finer and len(last) > 1 else last[-1]
    return LayerMaps(maps, layer.removeprefix("net."), outputs)


def upsample(maps: Tensor, x: Tensor) -> Tensor:
    """Resize maps (N, 1, h, w) to the images: (N, H, W)."""
    return F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
