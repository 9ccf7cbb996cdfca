"""The decoder of a plain autoencoder."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

import gvr_bench.api as gvr

from .dcgan import Features
from .vae import AutoencoderSettings, Vae


class Ae(Vae):
    """Decoder of an autoencoder trained with the mean squared error.

    Its latents are standardised per dimension, so that they have the scale of the other
    generators'.
    They have no other prior: a normal sample need not decode to a realistic image.
    """

    Settings = AutoencoderSettings
    data_parallel = False  # batch normalisation needs all rows in one process

    def inference(self, image: gvr.ImageSpec) -> nn.Module:
        """Return a network for the standardised latents of images: (N, D)."""
        latent_dim = self.settings.latent_dim
        return nn.Sequential(
            Features(image, latent_dim, self.settings.width),
            nn.BatchNorm1d(latent_dim, affine=False),
        )

    def losses(
        self,
        net: nn.Module,
        inference: nn.Module,
        x: Tensor,
        noise: Tensor,
        ctx: gvr.Context,
    ) -> dict[str, Tensor]:
        with ctx.autocast():
            decoded = net(inference(x)).float()
        return {"mse": F.mse_loss(decoded, x)}
