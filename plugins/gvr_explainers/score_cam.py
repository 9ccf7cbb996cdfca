"""Score-CAM (Wang et al. 2020): a layer's channels as masks of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import predict_variants
from gvr_explainers.cam_base import LayerExplainer, LayerMaps


class ScoreCam(LayerExplainer):
    """A layer's channels, each by the output for the image that shows what the channel marks.

    It needs no gradient, and one prediction per channel.
    """

    costly = True

    class Settings(LayerExplainer.Settings):
        """What is hidden is grey, the mean of normalised images as in the paper."""

        replacement: float = Field(
            0.0, ge=-1, le=1, description="of what is hidden: -1 black, 0 grey, 1 white"
        )

    settings: Settings

    def weighted(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, inside: LayerMaps
    ) -> Tensor:
        """Weigh channels by the softmax of their outputs."""
        maps, level = inside.maps.detach(), self.settings.replacement
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        masks = (maps - low) / torch.where(high > low, high - low, 1.0)  # (N, channels, h, w)

        def show(image: Tensor, channel: Tensor) -> Tensor:
            mask = F.interpolate(
                masks[image, channel][:, None], x.shape[2:], mode="bilinear", align_corners=False
            )
            return level + (x[image] - level) * mask

        outputs = predict_variants(model, x, target, maps.shape[1], show)  # (N, channels)
        weights = outputs.softmax(1)[:, :, None, None]
        return (weights * maps).sum(dim=1, keepdim=True)
