"""Explainers: generative visual rationales, attribution maps, and controls."""

from collections.abc import Iterator

# No alias `gvr`: the submodule of that name would replace it.
from gvr_bench.api import Plugin, hookimpl
from gvr_explainers.attribution_rows import ATTRIBUTION
from gvr_explainers.counterfactual_rows import COUNTERFACTUAL

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
    yield from COUNTERFACTUAL
    yield from ATTRIBUTION
    for name, target, summary in _CONTROLS:
        target = f"gvr_explainers.{target}"
        yield Plugin(api=1, kind="explainer", name=name, target=target, summary=summary)
