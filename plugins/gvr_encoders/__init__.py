"""Encoders: from an image to the latent that decodes to it."""

from collections.abc import Iterator

import gvr_bench.api as gvr


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of this package."""
    yield gvr.Plugin(
        api=1,
        kind="encoder",
        name="conv",
        target="gvr_encoders.conv:Conv",
        summary="convolutional encoder trained through the frozen generator (the papers')",
    )
    yield gvr.Plugin(
        api=1,
        kind="encoder",
        name="supervised",
        target="gvr_encoders.supervised:Supervised",
        summary="the same network trained from scratch on the labelled images",
    )
