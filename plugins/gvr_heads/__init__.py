"""Heads: from a latent to the prediction."""

from collections.abc import Iterator

import gvr_bench.api as gvr

_ROWS = (
    ("linear", "networks:Linear", "linear or logistic regression on the latent"),
    ("mlp", "networks:Mlp", "two-layer perceptron with 256 hidden units"),
    ("residual", "networks:Residual", "six layers of 100 units with residual connections"),
    ("robust-mlp", "robust:RobustMlp", "mlp fitted on latents that are moved against it"),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of this package."""
    for name, target, summary in _ROWS:
        yield gvr.Plugin(
            api=1, kind="head", name=name, target=f"gvr_heads.{target}", summary=summary
        )
