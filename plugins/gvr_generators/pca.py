"""Principal components: the floor for every decoder."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from sklearn.decomposition import IncrementalPCA
from torch import Tensor, nn

import gvr_bench.api as gvr

CHUNK = 1024  # images read together


class LinearDecoder(nn.Module):
    """Latent (N, D) -> image: the mean plus scaled components, clipped to [-1, 1].

    `inference` maps images to latents, whitened: zero mean and unit variance over the training
    images.
    """

    def __init__(self, image: gvr.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.shape = (image.channels, image.size, image.size)
        pixels = math.prod(self.shape)
        self.linear = nn.Linear(latent_dim, pixels)
        self.inference = nn.Sequential(nn.Flatten(), nn.Linear(pixels, latent_dim))

    def forward(self, z: Tensor) -> Tensor:
        flat: Tensor = self.linear(z)
        return flat.unflatten(1, self.shape).clamp(-1, 1)


class Pca(gvr.Generator):
    """Decodes the principal components of the training images: closed form, in seconds.

    Nothing nonlinear is learnt, so that a decoder that is trained has to do better. Moving a latent
    moves the image along a straight line: with a linear head counterfactuals are exact.
    """

    encoder = "inference"

    class Settings(gvr.Settings):
        """`latent_dim` is lowered to what the training images span."""

        latent_dim: int = Field(64, ge=1, description="number of components")

    settings: Settings

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        pixels = image.channels * image.size**2
        return LinearDecoder(image, min(self.settings.latent_dim, pixels))

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Fit all components in one pass over the images.

        Raises `DataError` where there are fewer images than components.
        """
        assert isinstance(net, LinearDecoder)
        d, n = net.latent_dim, len(images)
        if n < d:
            raise gvr.DataError(
                f"generator 'pca' needs as many training images as components, and {n} are fewer "
                f"than {d}; set pca:latent_dim={n}"
            )
        pca = IncrementalPCA(d)
        chunks = max(1, n // max(CHUNK, d))  # each must have as many images as components
        for i, part in enumerate(np.array_split(np.arange(n), chunks)):
            ctx.progress(i, chunks, "")
            x = images[torch.from_numpy(part)].flatten(1)
            pca.partial_fit(x.double().cpu().numpy())
        deviation = np.sqrt(pca.explained_variance_.clip(1e-12))
        components = pca.components_
        with torch.no_grad():
            net.linear.weight.copy_(torch.from_numpy((components * deviation[:, None]).T))
            net.linear.bias.copy_(torch.from_numpy(pca.mean_))
            matrix = components / deviation[:, None]
            linear = net.inference[1]
            assert isinstance(linear, nn.Linear)
            linear.weight.copy_(torch.from_numpy(matrix))
            linear.bias.copy_(torch.from_numpy(-(matrix @ pca.mean_)))
        ctx.log(explained_variance=float(pca.explained_variance_ratio_.sum()))
