"""Eigen-CAM (Muhammad and Yeasin 2020): the first principal component of a layer's maps."""

from __future__ import annotations

import torch
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.cam_base import LayerExplainer, LayerMaps


class EigenCam(LayerExplainer):
    """Where a layer of the network is most active, whatever the output; never negative.

    The projection of the maps on their first right singular vector, whose sign is chosen so that
    the map's sum is positive.
    """

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, inside: LayerMaps
    ) -> Tensor:
        """Project the channels on their first singular vector."""
        maps = inside.maps.detach()
        n, _, h, w = maps.shape
        pixels = maps.flatten(2).transpose(1, 2)  # (N, h * w, channels)
        left, sizes, _ = torch.linalg.svd(pixels, full_matrices=False)
        first: Tensor = left[..., 0] * sizes[:, :1]  # (N, h * w)
        sign = torch.where(first.sum(1, keepdim=True) < 0, -1.0, 1.0)
        signed: Tensor = first * sign
        return signed.view(n, 1, h, w)
