"""LIME (Ribeiro et al. 2016): a linear model of the output by superpixels."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import predict_variants


class Lime(gvr.Explainer):
    """The weight of each superpixel in a ridge regression, fitted around the image.

    Kernel, ridge and samples are those of the authors' code for images; as there, a removed
    superpixel is replaced by its mean.
    """

    costly = True

    class Settings(gvr.Settings):
        """The authors' superpixels are for large photographs; those here are smaller."""

        segments: int = Field(50, ge=2, description="approximate number of superpixels (SLIC)")
        compactness: float = Field(0.1, gt=0, description="of the superpixels; 1 is nearly square")
        smoothing: float = Field(
            1.0, ge=0, description="of the image before that, in pixels; needed for noise"
        )
        samples: int = Field(1000, ge=2, description="perturbed images; the first is the original")
        kernel_width: float = Field(0.25, gt=0, description="in cosine distance")
        penalty: float = Field(1.0, gt=0, description="of the ridge regression")

    profiles = {"quick": {"samples": 300}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Perturb and fit all images; samples depend only on the seed and the image."""
        s = self.settings
        segments = superpixels(x, s.segments, s.compactness, s.smoothing)  # (N, H, W)
        counts = segments.flatten(1).amax(1) + 1
        present = draw_samples(x, counts.tolist(), s.samples, ctx)  # (N, S, D)
        removed = segment_means(x, segments)

        def perturb(image: Tensor, sample: Tensor) -> Tensor:
            keep = present[image, sample].gather(1, segments[image].flatten(1))  # (B, H * W)
            return torch.where(keep.view(-1, 1, *x.shape[2:]), x[image], removed[image])

        outputs = predict_variants(model, x, target, s.samples, perturb)
        weights = kernel(present.sum(2) / counts[:, None], s.kernel_width)
        fits = zip(present, outputs.double(), weights, strict=True)
        coefficients = torch.stack([ridge(*fit, s.penalty) for fit in fits]).float()
        attribution = coefficients.gather(1, segments.flatten(1)).view(segments.shape)
        return gvr.Explanation(attribution=attribution)


def superpixels(x: Tensor, segments: int, compactness: float, smoothing: float) -> Tensor:
    """Split each image (N, C, H, W) into about `segments` pieces: (N, H, W) int64, from 0."""
    from skimage.segmentation import slic  # slow to import

    labels = []
    for image in x.mean(dim=1).cpu().numpy():
        segmented = slic(
            image,
            n_segments=segments,
            compactness=compactness,
            sigma=smoothing,
            start_label=0,
            channel_axis=None,
        )
        _, consecutive = np.unique(segmented, return_inverse=True)
        labels.append(torch.from_numpy(consecutive.reshape(image.shape)))
    return torch.stack(labels).to(x.device)


def draw_samples(x: Tensor, counts: list[int], samples: int, ctx: gvr.Context) -> Tensor:
    """Draw which superpixels are present, each with probability 0.5: (N, samples, D) bool.

    D is the largest count; in an image with fewer superpixels the others are absent.
    """
    present = torch.zeros(len(x), samples, max(counts), dtype=torch.bool)
    for image, count, chosen in zip(x.cpu(), counts, present, strict=True):
        pixels = zlib.crc32(image.contiguous().numpy().tobytes())
        draws = torch.rand(samples, count, generator=ctx.rng("lime", pixels))
        chosen[:, :count] = draws < 0.5
        chosen[0, :count] = True
    return present.to(x.device)


def segment_means(x: Tensor, segments: Tensor) -> Tensor:
    """Give each pixel the mean of its superpixel: (N, C, H, W), (N, H, W) -> (N, C, H, W)."""
    n, c, h, w = x.shape
    where = segments.view(n, 1, h * w).expand(n, c, h * w)
    means = x.new_zeros(n, c, int(segments.max()) + 1)
    means.scatter_reduce_(2, where, x.reshape(n, c, h * w), "mean", include_self=False)
    return means.gather(2, where).view(n, c, h, w)


def kernel(share: Tensor, width: float) -> Tensor:
    """Weigh samples by their cosine distance from the image; `share` present in [0, 1]."""
    distance = 1 - share.double().sqrt()
    return torch.exp(-distance.square() / (2 * width**2))


def ridge(inputs: Tensor, outputs: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Solve a weighted ridge regression with a free intercept.

    `inputs` (S, D) bool, `outputs` and `weights` (S,) -> (D,); an input that never varies gets 0.
    """
    present = inputs.to(weights.dtype)
    share = weights / weights.sum()
    centred = present - share @ present
    weighted = (centred * weights[:, None]).T  # (D, S)
    identity = torch.eye(present.shape[1], dtype=present.dtype, device=present.device)
    rest = outputs - share @ outputs
    solution: Tensor = torch.linalg.solve(weighted @ centred + penalty * identity, weighted @ rest)
    return solution
