"""Encoders: from an image to the latent that decodes to it."""

from collections.abc import Iterator

import gvr_bench.api as gvr

_ROWS = (
    (
        "conv",
        "conv:Conv",
        "convolutional encoder trained through the frozen generator (the papers')",
    ),
    (
        "supervised",
        "supervised:Supervised",
        "the same network trained from scratch on the labelled images",
    ),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of this package."""
    for name, target, summary in _ROWS:
        yield gvr.Plugin(
            api=1, kind="encoder", name=name, target=f"gvr_encoders.{target}", summary=summary
        )
