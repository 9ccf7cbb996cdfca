"""Grad-CAM (Selvaraju et al. 2017; Zhou et al. 2016)."""

from __future__ import annotations

from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size


class Cam(gvr.Explainer):
    """Where the encoder's last spatial map speaks for the output; never negative."""

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Weigh channels by their mean gradient, rectify, and upsample bilinearly.

        Raises `Unsupported` where the encoder has no spatial map.
        """
        return gvr.Explanation(attribution=upsample(F.relu(grad_cam(model, x, target)), x))


class CounterfactualCam(gvr.Explainer):
    """Where the encoder's last spatial map speaks against the output; never positive.

    Grad-CAM of the negated gradients (Selvaraju et al. 2017, counterfactual explanations), negated
    because a positive attribution speaks for the output.
    """

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Return the part that `cam` rectifies away.

        Raises `Unsupported` where the encoder has no spatial map.
        """
        return gvr.Explanation(attribution=-upsample(F.relu(-grad_cam(model, x, target)), x))


def grad_cam(model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget) -> Tensor:
    """Return the sum of the last map's channels, each times its mean gradient: (N, 1, h, w).

    Raises `Unsupported` where the encoder has no spatial map.
    """
    parts = []
    for part in batches(len(x), max_batch_size(x, gradients=True)):
        with torch.enable_grad():
            maps, outputs = last_map(model, x[part])
            (slope,) = torch.autograd.grad(target[part].source_output(outputs).sum(), maps)
        weights = slope.mean(dim=(2, 3), keepdim=True)
        parts.append((weights * maps.detach()).sum(dim=1, keepdim=True))
    return torch.cat(parts)


def last_map(model: gvr.Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Predict, and return the output of the last convolution with more than one pixel.

    `x` (N, C, H, W) -> (N, channels, h, w) and (N, K). Raises `Unsupported` where there is none.
    """
    maps: list[Tensor] = []

    def store(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if output.shape[2:].numel() > 1:
            maps[:] = [output]
        return output.clone()  # protects the map from in-place activations

    with ExitStack() as hooks:
        for layer in model.encoder.modules():
            if isinstance(layer, nn.Conv2d):
                hooks.callback(layer.register_forward_hook(store).remove)
        outputs = model(x.detach().requires_grad_())
    if not maps:
        raise gvr.Unsupported("Grad-CAM needs an encoder with a convolution of more than one pixel")
    return maps[0], outputs


def upsample(maps: Tensor, x: Tensor) -> Tensor:
    """Resize maps (N, 1, h, w) to the images: (N, H, W)."""
    return F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
