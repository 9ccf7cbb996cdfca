"""The encoder that a generator was trained with."""

from __future__ import annotations

import copy

import torch
from torch import nn

import gvr_bench.api as gvr


class Inference(gvr.Encoder):
    """The generator's own inference network, as it is: nothing is trained.

    For generators that are autoencoders, whose network has a module `inference` from images
    (N, C, H, W) to latents (N, D).
    """

    def build(self, image: gvr.ImageSpec, generator: nn.Module) -> nn.Module:
        """Return a copy with shuffled weights. Raises `UsageError` where there is none to copy."""
        original = getattr(generator, "inference", None)
        if not isinstance(original, nn.Module):
            raise gvr.UsageError(
                "encoder 'inference' is the inference network of an autoencoder, and this "
                "generator has none; use --encoder conv, or a generator such as vae or pca"
            )
        net = copy.deepcopy(original)
        with torch.no_grad():
            for weight in net.parameters():
                order = torch.randperm(weight.numel()).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))
        return net

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Copy the generator's weights."""
        assert isinstance(generator.inference, nn.Module)
        net.load_state_dict(generator.inference.state_dict())
