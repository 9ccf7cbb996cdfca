"""Methods that remove whole pieces of the image, LIME's superpixels, computed by captum."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_bench.api import CaptumExplainer
from gvr_explainers.batching import max_batch_size
from gvr_explainers.lime import segment_means, superpixels


class PieceExplainer(CaptumExplainer):
    """What both share: a removed superpixel is replaced by its mean, as in LIME."""

    class Settings(gvr.Settings):
        """The superpixels are those of `lime`."""

        segments: int = Field(50, ge=2, description="approximate number of superpixels (SLIC)")
        compactness: float = Field(0.1, gt=0, description="of the superpixels; 1 is nearly square")
        smoothing: float = Field(1.0, ge=0, description="of the image before that, in pixels")

    settings: Settings

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the arguments of captum for one image."""
        s = self.settings
        segments = superpixels(x, s.segments, s.compactness, s.smoothing)  # (1, H, W)
        return {
            "feature_mask": segments[:, None],
            "baselines": segment_means(x, segments),
            "perturbations_per_eval": max_batch_size(x),
        }

    def batch_size(self, x: Tensor) -> int:
        """Return 1, because every image has other superpixels."""
        return 1

    def combine(self, attributions: Tensor, x: Tensor) -> Tensor:
        """Return the value of each pixel's superpixel, which is the same in every channel."""
        return attributions[:, 0]


class FeatureAblation(PieceExplainer):
    """How far the output falls when a superpixel is replaced by its mean, each alone."""

    attribution = "captum.attr:FeatureAblation"


class KernelShap(PieceExplainer):
    """Shapley value of each superpixel, estimated by the weighted regression of Kernel SHAP.

    Values sum to about the output of the image minus that of the superpixels' means.
    """

    attribution = "captum.attr:KernelShap"
    draws = True
    costly = True

    class Settings(PieceExplainer.Settings):
        """The authors' code takes 2,048 samples and twice the number of superpixels."""

        samples: int = Field(2148, ge=2, description="sets of superpixels")

    profiles = {"quick": {"samples": 300}}
    settings: Settings

    def arguments(
        self, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> dict[str, Any]:
        """Return the arguments of captum for one image."""
        return super().arguments(x, target, ctx) | {"n_samples": self.settings.samples}
