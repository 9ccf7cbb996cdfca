"""Encoders: networks from images to latents that decode to them."""

from collections.abc import Iterator

import gvr_bench.api as gvr

_PLUGINS = (
    (
        "conv",
        "conv:Conv",
        "convolutional encoder trained through the frozen generator (the papers')",
    ),
    (
        "inference",
        "inference:Inference",
        "the inference network that the generator was trained with (vae, ae, pca)",
    ),
    (
        "supervised",
        "supervised:Supervised",
        "the same network trained from scratch on the labelled images",
    ),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    for name, target, summary in _PLUGINS:
        yield gvr.Plugin(
            api=1, kind="encoder", name=name, target=f"gvr_encoders.{target}", summary=summary
        )
