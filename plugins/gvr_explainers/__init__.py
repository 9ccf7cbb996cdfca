"""Explainers: generative visual rationales, attribution maps, and controls."""

from collections.abc import Iterator

# No alias `gvr`: the submodule of that name would replace it.
from gvr_bench.api import Plugin, hookimpl

_PLUGINS = (
    ("gvr", "gvr:Gvr", "generative visual rationale: latent optimisation as in the papers"),
    (
        "gvr-robust",
        "robust:GvrRobust",
        "generative visual rationale that also holds for the jittered, re-encoded image",
    ),
    (
        "latent-shift",
        "latent_shift:LatentShift",
        "counterfactual along one gradient in latent space (gifsplanation)",
    ),
    ("saliency", "saliency:Saliency", "gradient of the output by the pixels"),
    (
        "integrated-gradients",
        "integrated_gradients:IntegratedGradients",
        "gradient integrated from an empty image to this one",
    ),
    ("occlusion", "occlusion:Occlusion", "fall of the output under a sliding grey square"),
    ("lime", "lime:Lime", "linear model of the output by superpixels, fitted around the image"),
    ("cam", "cam:Cam", "Grad-CAM: where the last spatial map speaks for the output"),
    (
        "counterfactual-cam",
        "cam:CounterfactualCam",
        "Grad-CAM of the negated output: where the last map speaks against it",
    ),
    ("random", "controls:Random", "control: noise"),
    ("edge", "controls:Edge", "control: Sobel magnitude of the input"),
    ("intensity", "controls:Intensity", "control: the input itself"),
    ("template", "template:Template", "control: the same map for all, from the labels"),
    ("adversarial", "adversarial:Adversarial", "control: adversarial noise on the pixels"),
    (
        "nearest-unlike",
        "nearest_unlike:NearestUnlike",
        "control: the nearest training image on the target side",
    ),
    (
        "class-shift",
        "class_shift:ClassShift",
        "control: one direction in latent space, from class mean to class mean",
    ),
)
_NEEDS = {"integrated-gradients": ("captum",), "lime": ("skimage",)}


@hookimpl
def gvr_plugins() -> Iterator[Plugin]:
    for name, target, summary in _PLUGINS:
        yield Plugin(
            api=1,
            kind="explainer",
            name=name,
            target=f"gvr_explainers.{target}",
            summary=summary,
            needs=_NEEDS.get(name, ()),
        )
