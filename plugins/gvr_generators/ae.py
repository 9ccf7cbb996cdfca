"""The decoder of a plain autoencoder."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

import gvr_bench.api as gvr

from .spatial import SpatialDecoder, SpatialInference
from .vae import AutoencoderSettings, Vae


class Ae(Vae):
    """Decoder of an autoencoder trained with the mean squared error.

    Its latents are standardised per channel, so that they have the scale of the other generators'.
    They have no other prior: a normal sample need not decode to a realistic image.
    """

    Settings = AutoencoderSettings
    data_parallel = False  # batch normalisation needs all rows in one process

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        standardise = nn.BatchNorm2d(self.settings.channels, affine=False)
        inference = SpatialInference(image, self.settings, standardise)
        return SpatialDecoder(image, self.settings, inference)

    def losses(
        self, net: nn.Module, x: Tensor, noise: Tensor, ctx: gvr.Context
    ) -> dict[str, Tensor]:
        """Return the mean squared error."""
        with ctx.autocast():
            decoded = net(net.inference(x)).float()  # type: ignore[operator]
        return {"mse": F.mse_loss(decoded, x)}
