"""Generators: WGAN-GP as in the papers, and a variational autoencoder's decoder."""

from collections.abc import Iterator

import gvr_bench.api as gvr


@gvr.hookimpl
def gvr_plugins() -> Iterator[gvr.Plugin]:
    """Yield the rows of this package."""
    yield gvr.Plugin(
        api=1,
        kind="generator",
        name="wgan-gp",
        target="gvr_generators.wgan_gp:WganGp",
        summary="DCGAN with SELU, trained as Wasserstein GAN with gradient penalty (the papers')",
    )
    yield gvr.Plugin(
        api=1,
        kind="generator",
        name="vae",
        target="gvr_generators.vae:Vae",
        summary="the decoder of a variational autoencoder",
    )
    yield gvr.Plugin(
        api=1,
        kind="generator",
        name="ae",
        target="gvr_generators.ae:Ae",
        summary="the decoder of a plain autoencoder",
    )
