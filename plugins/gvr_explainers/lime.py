"""LIME (Ribeiro et al. 2016): a linear model of what happens when superpixels are wiped out."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

import gvr_bench.api as gvr
from gvr_explainers.batching import ask_variants


class Lime(gvr.Explainer):
    """The weight of each superpixel in a ridge regression, fitted around the image.

    Kernel, ridge and samples are those of the authors' code for images, and wiping out a superpixel
    leaves its mean, as there.
    """

    class Settings(gvr.Settings):
        """Only the superpixels are ours: theirs are made for large photographs."""

        segments: int = Field(50, ge=2, description="superpixels, about (SLIC)")
        compactness: float = Field(0.1, gt=0, description="of the superpixels: 1 is nearly square")
        smoothing: float = Field(1.0, ge=0, description="before that, in pixels; noise needs it")
        samples: int = Field(1000, ge=2, description="perturbed images, the first is untouched")
        kernel_width: float = Field(0.25, gt=0, description="in cosine distance of what is kept")
        penalty: float = Field(1.0, gt=0, description="of the ridge regression")

    profiles = {"quick": {"samples": 300}}
    settings: Settings

    def explain(
        self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget, ctx: gvr.Context
    ) -> gvr.Explanation:
        """Perturb and fit all images together; samples depend on the seed and the image alone."""
        s = self.settings
        segments = superpixels(x, s.segments, s.compactness, s.smoothing)  # (N, H, W)
        counts = segments.flatten(1).amax(1) + 1
        kept = draw(x, counts.tolist(), s.samples, ctx)  # (N, S, D)
        wiped = segment_means(x, segments)

        def perturb(image: Tensor, sample: Tensor) -> Tensor:
            keep = kept[image, sample].gather(1, segments[image].flatten(1))  # (B, H * W)
            return torch.where(keep.view(-1, 1, *x.shape[2:]), x[image], wiped[image])

        outputs = ask_variants(model, x, target, s.samples, perturb)
        weights = kernel(kept.sum(2) / counts[:, None], s.kernel_width)
        fits = zip(kept, outputs.double(), weights, strict=True)
        coefficients = torch.stack([ridge(*fit, s.penalty) for fit in fits]).float()
        attribution = coefficients.gather(1, segments.flatten(1)).view(segments.shape)
        return gvr.Explanation(attribution=attribution)


def superpixels(x: Tensor, segments: int, compactness: float, smoothing: float) -> Tensor:
    """Cut each image (N, C, H, W) into about `segments` pieces: (N, H, W) int64, from 0."""
    from skimage.segmentation import slic  # here, for a plan needs only the class

    labels = []
    for image in x.mean(dim=1).cpu().numpy():
        found = slic(
            image,
            n_segments=segments,
            compactness=compactness,
            sigma=smoothing,
            start_label=0,
            channel_axis=None,
        )
        _, consecutive = np.unique(found, return_inverse=True)
        labels.append(torch.from_numpy(consecutive.reshape(image.shape)))
    return torch.stack(labels).to(x.device)


def draw(x: Tensor, counts: list[int], samples: int, ctx: gvr.Context) -> Tensor:
    """Draw which superpixels are kept, each by the toss of a coin: (N, samples, D) bool.

    D is the largest count; an image with fewer superpixels keeps none of the missing ones.
    """
    kept = torch.zeros(len(x), samples, max(counts), dtype=torch.bool)
    for image, count, chosen in zip(x.cpu(), counts, kept, strict=True):
        pixels = zlib.crc32(image.contiguous().numpy().tobytes())
        tossed = torch.rand(samples, count, generator=ctx.rng("lime", pixels))
        chosen[:, :count] = tossed < 0.5
        chosen[0, :count] = True
    return kept.to(x.device)


def segment_means(x: Tensor, segments: Tensor) -> Tensor:
    """Give each pixel the mean of its superpixel: (N, C, H, W), (N, H, W) -> (N, C, H, W)."""
    n, c, h, w = x.shape
    where = segments.view(n, 1, h * w).expand(n, c, h * w)
    means = x.new_zeros(n, c, int(segments.max()) + 1)
    means.scatter_reduce_(2, where, x.reshape(n, c, h * w), "mean", include_self=False)
    return means.gather(2, where).view(n, c, h, w)


def kernel(share: Tensor, width: float) -> Tensor:
    """Weigh samples by the cosine distance of all ones from what is kept; `share` in [0, 1]."""
    distance = 1 - share.double().sqrt()
    return torch.exp(-distance.square() / (2 * width**2))


def ridge(inputs: Tensor, outputs: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Solve a weighted ridge regression with a free intercept.

    `inputs` (S, D) bool, `outputs` and `weights` (S,) -> (D,); an input that never varies gets 0.
    """
    kept = inputs.to(weights.dtype)
    share = weights / weights.sum()
    centred = kept - share @ kept
    weighted = (centred * weights[:, None]).T  # (D, S)
    identity = torch.eye(kept.shape[1], dtype=kept.dtype, device=kept.device)
    rest = outputs - share @ outputs
    solution: Tensor = torch.linalg.solve(weighted @ centred + penalty * identity, weighted @ rest)
    return solution
