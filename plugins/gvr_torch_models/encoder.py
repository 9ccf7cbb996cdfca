"""Your own encoder."""

from __future__ import annotations

from torch import Tensor, nn

import gvr_bench.api as gvr

from .image_normalization import ImageNormalization, ImageSettings
from .loading import make_network
from .wrapped_network import TorchModel, WrappedNetwork, check_shapes, shuffled


class EncoderNetwork(WrappedNetwork):
    """Image (N, C, H, W) in [-1, 1] -> latent (N, D)."""

    def __init__(self, net: nn.Module, settings: ImageSettings) -> None:
        super().__init__(net, settings)
        self.normalize = ImageNormalization(settings)

    def forward(self, x: Tensor) -> Tensor:
        """Encode to flat latents."""
        return self.run(self.normalize(x)).flatten(1)


class TorchEncoder(TorchModel, gvr.Encoder):
    """Your own encoder from images to the generator's latents.

    For a variational encoder that returns mean and variance, `part=0` selects the mean.
    """

    Settings = ImageSettings
    settings: ImageSettings

    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        """Return the network with shuffled weights.

        Raises `UsageError` if its output does not fit the generator.
        """
        dim = generator.latent_dim
        assert isinstance(dim, int)
        net = EncoderNetwork(make_network(self.settings), self.settings)
        check_shapes(net, "encoder", (image.channels, image.size, image.size), (dim,))
        return shuffled(net)

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Restore the original weights."""
        self.restore(net, ctx)
