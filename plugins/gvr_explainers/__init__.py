"""Explainers: generative visual rationales, attribution maps, and controls."""

from collections.abc import Iterator

# No alias `gvr`: the submodule of that name would replace it.
from gvr_bench.api import Plugin, hookimpl
from gvr_explainers.attribution_rows import ATTRIBUTION

DEFAULT = {"gvr", "gvr-robust", "latent-shift"}  # beside controls, what a run has by default
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
)
_CONTROLS = (
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


@hookimpl
def gvr_plugins() -> Iterator[Plugin]:
    for name, target, summary in _PLUGINS:
        yield Plugin(
            api=1,
            kind="explainer",
            name=name,
            target=f"gvr_explainers.{target}",
            summary=summary,
            selection="default" if name in DEFAULT else "all",
        )
    yield from ATTRIBUTION
    for name, target, summary in _CONTROLS:
        target = f"gvr_explainers.{target}"
        yield Plugin(api=1, kind="explainer", name=name, target=target, summary=summary)
