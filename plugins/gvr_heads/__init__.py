"""Heads: from a latent to the prediction."""

from collections.abc import Iterator

import gvr_bench.api as gvr


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of this package."""
    rows = (
        ("linear", "Linear", "linear or logistic regression on the latent"),
        ("mlp", "Mlp", "two-layer perceptron with 256 hidden units"),
        ("residual", "Residual", "six layers of 100 units with residual connections"),
    )
    for name, cls, summary in rows:
        yield gvr.Plugin(
            api=1, kind="head", name=name, target=f"gvr_heads.networks:{cls}", summary=summary
        )
