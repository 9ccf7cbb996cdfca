"""Which images are unlike those of a run, so that explanations of them cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gvr_bench.core.reference import even_positions
from gvr_bench.core.types import Floats, Model
from gvr_bench.explain.targets import Predictions
from gvr_bench.pipeline.stage_context import StageContext

OOD_QUANTILE = 0.995  # of the run's own images, for each of two limits: at most 1 in 100 is marked
MAX_REFERENCE_IMAGES = 1000


@dataclass(frozen=True)
class OodReference:
    """How close test images of a run are to what its models were trained on.

    `error` is the mean absolute difference between an image and its reconstruction, on the scale
    from -1 to 1. An image that is emptier than any other is reconstructed too well to be noticed by
    it, therefore `distance`: the Mahalanobis distance of its latent from those of the training
    images. Each is the `OOD_QUANTILE` over `images` test images; NaN where the run has no decoder,
    so that nothing is known.
    """

    covariance: Any
    error: float
    distance: float
    images: int

    @classmethod
    @torch.no_grad()
    def measure(cls, stage_ctx: StageContext, model: Model) -> OodReference:
        from sklearn.covariance import LedoitWolf  # slow to import

        if not model.has_decoder:
            return cls(None, np.nan, np.nan, 0)
        images = stage_ctx.images("test")
        arrays = stage_ctx.arrays("latents", "train/z", "train/copy", "test/z")
        rows = torch.from_numpy(even_positions(len(images), MAX_REFERENCE_IMAGES))
        z = arrays["test/z"][rows.numpy()]
        errors = []
        for part in stage_ctx.ctx.batches(len(rows)):
            decoded = model.generator(torch.from_numpy(z[part]).to(stage_ctx.ctx.device))
            errors.append(reconstruction_error(decoded, images[rows[part]]))
        # Shrinkage keeps the covariance invertible with fewer images than dimensions.
        covariance = LedoitWolf().fit(arrays["train/z"][arrays["train/copy"] == 0])
        distances = np.sqrt(covariance.mahalanobis(z))
        error, distance = (
            float(np.quantile(values, OOD_QUANTILE))
            for values in (np.concatenate(errors), distances)
        )
        return cls(covariance, error, distance, len(rows))

    def distances(self, z: Floats) -> Floats:
        """Latents (n, D) -> distances (n,)."""
        return np.asarray(np.sqrt(self.covariance.mahalanobis(z)), np.float32)

    def warning(self, predictions: Predictions, i: int) -> str:
        """Say how image `i` differs from those of the run; empty where it does not."""
        if predictions.error is None or predictions.distance is None:
            return ""
        error, distance = float(predictions.error[i]), float(predictions.distance[i])
        return ood_warning(error, self.error, distance, self.distance)


def reconstruction_error(decoded: Tensor, images: Tensor) -> Floats:
    """Mean absolute difference of images (n, C, H, W): (n,)."""
    error: Floats = (decoded - images).abs().flatten(1).mean(1).cpu().numpy()
    return error


def ood_warning(error: float, error_limit: float, distance: float, distance_limit: float) -> str:
    """Say how an image differs from those of the run; empty where it does not. NaN differs."""
    measures = (
        ("reconstruction error", error, error_limit),
        ("distance of the latent", distance, distance_limit),
    )
    beyond = [
        f"{name} {value:.3g}, usually below {limit:.3g}"
        for name, value, limit in measures
        if not value <= limit
    ]
    prefix = "unlike the images of the run, so do not trust its explanations: "
    return prefix + "; ".join(beyond) if beyond else ""
