"""The decoder of a plain autoencoder: nothing holds its latents to a prior but their scale."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

import gvr_bench.api as gvr

from .dcgan import Features
from .vae import AutoencoderSettings, Vae


class Ae(Vae):
    """Decoder of an autoencoder trained by mean squared error.

    Its codes are standardised per dimension, so that a latent has the scale it has for the other
    generators; they are not otherwise shaped, and draws from a normal need not decode to an image.
    """

    Settings = AutoencoderSettings
    data_parallel = False  # batch normalisation needs all rows in one process

    def inference(self, image: gvr.ImageSpec) -> nn.Module:
        """Return a network that says the standardised latent of an image: (N, D)."""
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
        """Return the mean squared error."""
        with ctx.autocast():
            decoded = net(inference(x)).float()
        return {"mse": F.mse_loss(decoded, x)}
