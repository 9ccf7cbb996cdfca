"""One explainer, as a third party would add it."""

from collections.abc import Iterator

import gvr_bench.api as gvr


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the one row."""
    yield gvr.Plugin(
        api=1,
        kind="explainer",
        name="centre",
        target="gvr_centre.explainer:Centre",
        summary="heat in the middle of the image",
    )
