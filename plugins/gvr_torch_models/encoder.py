"""Any encoder as the encoder."""

from __future__ import annotations

from torch import Tensor, nn

import gvr_bench.api as gvr

from .image_normalization import Pictures, PictureSettings
from .loading import make_network
from .wrapped_network import Given, TorchModel, random_weights, refuse_unfit


class PictureEncoder(Given):
    """Image (N, C, H, W) in [-1, 1] -> latent (N, D)."""

    def __init__(self, net: nn.Module, settings: PictureSettings) -> None:
        super().__init__(net, settings)
        self.pictures = Pictures(settings)

    def forward(self, x: Tensor) -> Tensor:
        """Encode; a latent of another shape is flattened."""
        return self.run(self.pictures(x)).flatten(1)


class TorchEncoder(TorchModel, gvr.Encoder):
    """An encoder made elsewhere, from images to the generator's latents.

    Of a variational one that returns mean and variance, `part=0` takes the mean.
    """

    Settings = PictureSettings
    settings: PictureSettings

    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        """Return the network with shuffled weights.

        Raises `UsageError` where it does not give the generator's latents.
        """
        dim = generator.latent_dim
        assert isinstance(dim, int)
        net = PictureEncoder(make_network(self.settings), self.settings)
        refuse_unfit(net, "encoder", (image.channels, image.size, image.size), (dim,))
        return random_weights(net)

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Put the given weights in."""
        self.restore(net, ctx)
