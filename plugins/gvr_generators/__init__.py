"""Generators: the papers' WGAN-GP, decoders of two autoencoders, and principal components."""

from collections.abc import Iterator

import gvr_bench.api as gvr

_PLUGINS = (
    (
        "wgan-gp",
        "wgan_gp:WganGp",
        "DCGAN with SELU, trained as Wasserstein GAN with gradient penalty (the papers')",
    ),
    ("vae", "vae:Vae", "the decoder of a variational autoencoder with a spatial latent"),
    ("ae", "ae:Ae", "the decoder of a plain autoencoder with a spatial latent"),
    ("pca", "pca:Pca", "principal components: closed form, the floor for every decoder"),
)


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    for name, target, summary in _PLUGINS:
        yield gvr.Plugin(
            api=1, kind="generator", name=name, target=f"gvr_generators.{target}", summary=summary
        )
