"""Explainers: generative visual rationales, baselines, and the controls of every table."""

from collections.abc import Iterator

# By name, for the submodule `gvr` would hide an alias of that name once it is imported.
from gvr_bench.api import Plugin, hookimpl


@hookimpl
def gvr_plugins() -> Iterator[Plugin]:
    """Yield the rows of this package."""
    rows = (
        ("gvr", "gvr:Gvr", "generative visual rationale: latent optimisation as in the papers"),
        ("saliency", "saliency:Saliency", "gradient of the asked-for output by the pixels"),
        ("random", "controls:Random", "control: noise"),
        ("edge", "controls:Edge", "control: Sobel magnitude of the input"),
        ("intensity", "controls:Intensity", "control: the input itself"),
    )
    for name, target, summary in rows:
        yield Plugin(
            api=1,
            kind="explainer",
            name=name,
            target=f"gvr_explainers.{target}",
            summary=summary,
        )
