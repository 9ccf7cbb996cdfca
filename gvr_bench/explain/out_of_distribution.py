"""What is usual for images of a run, so that one unlike them is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gvr_bench.core.types import Model
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.pipeline.steps.oracle import spread
from gvr_bench.results.explained_images import USUAL

CHECKED = 1000  # test images, at most, that say what is usual

Float = NDArray[np.float32]


@dataclass(frozen=True)
class OodReference:
    """How near test images of a run lie to what its models know.

    `error` is the mean absolute difference between an image and its reconstruction, on the scale
    from -1 to 1. An image that is emptier than any is rebuilt all too well, therefore `distance`,
    the Mahalanobis distance of its latent from those of the training images. Of each `USUAL` of
    `images` test images are below.
    """

    latents: Any
    error: float
    distance: float
    images: int

    def distances(self, z: Float) -> Float:
        """Latents (n, D) -> distances (n,)."""
        return np.asarray(np.sqrt(self.latents.mahalanobis(z)), np.float32)


@torch.no_grad()
def usual_of(stage_ctx: StageContext, model: Model) -> OodReference:
    """Look at test images of the run that a head belongs to, and at their latents."""
    from sklearn.covariance import LedoitWolf  # here, for it is slow to import

    images = stage_ctx.images("test")
    arrays = stage_ctx.arrays("latents", "train/z", "train/copy", "test/z")
    train = arrays["train/z"][arrays["train/copy"] == 0]
    rows = spread(len(images), CHECKED)
    z = arrays["test/z"][rows.numpy()]
    errors = []
    for part in stage_ctx.ctx.batches(len(rows)):
        rebuilt = model.generator(torch.from_numpy(z[part]).to(stage_ctx.ctx.device))
        errors.append(rebuild_error(rebuilt, images[rows[part]]))
    found = LedoitWolf().fit(train)  # its shrinkage holds with fewer images than dimensions
    distances = np.sqrt(found.mahalanobis(z))
    error = np.concatenate(errors)
    return OodReference(
        found, float(np.quantile(error, USUAL)), float(np.quantile(distances, USUAL)), len(rows)
    )


def rebuild_error(rebuilt: torch.Tensor, images: torch.Tensor) -> Float:
    """Mean absolute difference of images (n, C, H, W): (n,)."""
    error: Float = (rebuilt - images).abs().flatten(1).mean(1).cpu().numpy()
    return error
