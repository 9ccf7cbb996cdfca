"""Heads: networks from latents to predictions."""

from collections.abc import Iterator

import gvr_bench.api as gvr

_PLUGINS = (
    ("linear", "networks:Linear", "linear or logistic regression on the latent"),
    ("mlp", "networks:Mlp", "two-layer perceptron with 256 hidden units"),
    ("residual", "networks:Residual", "six layers of 100 units with residual connections"),
    ("robust-mlp", "robust:RobustMlp", "mlp fitted on latents that are moved against it"),
    ("conv", "conv:Conv", "convolutions on a spatial latent, with adversarial training"),
    ("cnn", "conv:Cnn", "convolutions on the image itself, with adversarial training"),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    for name, target, summary in _PLUGINS:
        yield gvr.Plugin(
            api=1, kind="head", name=name, target=f"gvr_heads.{target}", summary=summary
        )
