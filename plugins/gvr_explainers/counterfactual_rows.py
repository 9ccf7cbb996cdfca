"""Rows of the explainers that make counterfactuals, with what they need, cost and come from."""

from typing import Any

from gvr_bench.api import Plugin


def _row(name: str, target: str, summary: str, **more: Any) -> Plugin:
    more = {"selection": "all"} | more
    target = f"gvr_explainers.{target}"
    return Plugin(1, "explainer", name, target, summary, **more)


_SEARCH = "at most {steps} forward and backward, with a decode each"

COUNTERFACTUAL = (
    _row("gvr", "gvr:Gvr", "generative visual rationale: latent optimisation as in the papers",
         selection="default", access="gradient", passes=_SEARCH,
         source="generative visual rationales (2018)"),
    _row("gvr-robust", "robust:GvrRobust",
         "generative visual rationale that also holds for the jittered, re-encoded image",
         selection="default", access="gradient", passes=_SEARCH, source="this project"),
    _row("latent-shift", "latent_shift:LatentShift",
         "counterfactual along one gradient in latent space (gifsplanation)",
         aliases=("gifsplanation",), selection="default", access="gradient",
         passes="1 backward, at most {steps} forward, with a decode each",
         source="Cohen et al. 2021, arXiv 2102.09475"),
    _row("xgem", "xgem:Xgem", "latent optimisation of the cross-entropy with the target",
         aliases=("xgems",), access="gradient",
         passes="{steps} forward and backward, with a decode each",
         source="Joshi et al. 2018, arXiv 1806.08867"),
    _row("linear-shift", "linear_shift:LinearShift",
         "nearest latent at the goal, along the head's normal", access="gradient of the head",
         passes="at most {steps} of the head, 1 decode",
         source="Atad et al. 2024, arXiv 2408.01571"),
    _row("pattern-shift", "linear_shift:PatternShift",
         "nearest latent at the goal by the covariance of training images",
         access="gradient of the head, training images",
         passes="at most {steps} of the head, 1 decode",
         source="Haufe et al. 2014, doi 10.1016/j.neuroimage.2013.10.067"),
    _row("growing-spheres", "growing_spheres:GrowingSpheres",
         "nearest of random latents that flips", access="outputs",
         passes="at most {samples} forward in each of {layers} layers, with a decode each",
         source="Laugel et al. 2018, arXiv 1712.08443"),
    _row("attfind", "attfind:AttFind",
         "the few directions of the latent that flip most training images",
         aliases=("stylex",), access="outputs, training images",
         passes="{directions} forward twice, with a decode each",
         source="Lang et al. 2021, arXiv 2104.13369"),
    _row("dive", "dive:Dive", "several counterfactuals in different directions",
         access="gradient",
         passes="{counterfactuals} times {steps} forward and backward, with a decode each",
         source="Rodríguez et al. 2021, arXiv 2103.10226"),
    _row("rationale-gradient", "rationale_gradient:RationaleGradient",
         "gradient integrated along the way to a counterfactual", access="gradient",
         passes="as the explainer, {steps} forward and backward, with a decode each",
         source="Sundararajan et al. 2017, arXiv 1703.01365"),
)  # fmt: skip
