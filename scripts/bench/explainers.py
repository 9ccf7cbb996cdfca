"""Occlusion and LIME compared with captum: `python scripts/bench/explainers.py`.

Both explain the same 64 images of 32 pixels with the same model, windows, superpixels and number of
samples; captum is called once per image.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import captum.attr
import torch
from gvr_encoders.conv import Conv
from gvr_explainers.lime import Lime, segment_means, superpixels
from gvr_explainers.occlusion import Occlusion
from gvr_generators.wgan_gp import WganGp
from gvr_heads.networks import Linear
from timing import seconds_of
from torch import nn

import gvr_bench.api as gvr

IMAGES = 64
SPEC = gvr.ImageSpec(channels=1, size=32)
TASK = gvr.Task("binary", ("finding",))
WIDTHS = (16, 32)  # of the encoder; 32 is the quick profile's
SAMPLES = (25, 300)  # of LIME: captum's default, and the quick profile's
REPEATS = 3


def untrained(width: int) -> gvr.Model:
    """A model with random weights."""
    torch.manual_seed(0)
    generator = WganGp(WganGp.Settings(width=16)).build(SPEC)
    encoder = Conv(Conv.Settings(width=width)).build(SPEC, generator)
    latent_dim = generator.latent_dim
    assert isinstance(latent_dim, int)
    head = Linear(Linear.Settings()).build(latent_dim, TASK)
    nets: list[nn.Module] = [encoder, generator, head]
    return gvr.Model(*(net.eval().requires_grad_(False) for net in nets))


class Comparison:
    """One model, the images, and their targets."""

    def __init__(self, width: int) -> None:
        self.name = f"encoder width {width}"
        self.model = untrained(width)
        self.x = torch.rand(IMAGES, 1, SPEC.size, SPEC.size) * 2 - 1
        zeros = torch.zeros(IMAGES, dtype=torch.int64)
        self.target = gvr.ExplanationTarget(TASK, zeros, zeros, zeros.float(), zeros.float())

    def compare(
        self, name: str, explainer: gvr.Explainer, captum_once: Callable[[slice], object]
    ) -> None:
        """Time both alternately and print medians and their ratio."""
        ctx = gvr.Context(torch.device("cpu"))
        seconds: tuple[list[float], list[float]] = ([], [])

        def explain_all() -> None:
            explainer.explain(self.model, self.x, self.target, ctx)

        def captum_all() -> None:
            for i in range(IMAGES):
                captum_once(slice(i, i + 1))

        explain_all()
        for _ in range(REPEATS):
            seconds[0].append(seconds_of(explain_all, ctx.device))
            seconds[1].append(seconds_of(captum_all, ctx.device))
        ours, captums = (statistics.median(taken) for taken in seconds)
        print(
            f"{self.name}, {name:17s} ours {ours:6.3f} s  captum {captums:6.3f} s  "
            f"{captums / ours:4.1f} times",
            flush=True,
        )

    def occlusion(self) -> None:
        """Compare occlusion."""
        explainer = Occlusion(Occlusion.Settings())
        s = explainer.settings
        captums = captum.attr.Occlusion(self.model)

        def once(part: slice) -> object:
            window, stride = (1, s.window, s.window), (1, s.stride, s.stride)
            return captums.attribute(self.x[part], window, stride, s.replacement, target=0)

        self.compare("occlusion", explainer, once)

    def lime(self, samples: int) -> None:
        """Compare LIME; captum's time excludes the superpixels."""
        explainer = Lime(Lime.Settings(samples=samples))
        s = explainer.settings
        segments = superpixels(self.x, s.segments, s.compactness, s.smoothing)
        removed = segment_means(self.x, segments)
        captums = captum.attr.Lime(self.model)

        def once(part: slice) -> object:
            return captums.attribute(
                self.x[part],
                baselines=removed[part],
                target=0,
                feature_mask=segments[part, None],
                n_samples=samples,
            )

        self.compare(f"LIME, {samples} samples", explainer, once)


if __name__ == "__main__":
    print(f"{IMAGES} images, {torch.get_num_threads()} threads")
    for width in WIDTHS:
        comparison = Comparison(width)
        comparison.occlusion()
        for samples in SAMPLES:
            comparison.lime(samples)
