"""The decoder of a variational autoencoder (Kingma & Welling 2014) with a spatial latent."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

import gvr_bench.api as gvr

from .spatial import SpatialDecoder, SpatialInference

MEAN_OF = 1000  # images
# The phantom's of the profile quick, at 32 pixels: they fit images of any size. With other weights
# here comes another `Vae.version`.
WARM_START = Path(__file__).with_name("warm_start.safetensors")


class AutoencoderSettings(gvr.Settings):
    """Training of an autoencoder, which the papers do not specify."""

    channels: int = Field(8, ge=1, description="numbers per place of the map of latents")
    reduction: int = Field(8, ge=2, description="pixels per place, along each side")
    width: int = Field(32, ge=1, description="channels at half the image size")
    steps: int = Field(100_000, ge=1)
    epochs: int | None = Field(
        None, ge=1, description="passes over the images, at most; 150 in quick for data of your own"
    )
    warm_start: bool = Field(
        False,
        description="begin with the phantom's weights where `epochs` shortens the training; on in "
        "quick for data of your own",
    )
    batch: int = Field(96, ge=2)
    learning_rate: float = Field(2e-3, gt=0, description="at the start; falls to 0 as a cosine")
    shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")
    clip: float = Field(1000.0, gt=0, description="largest norm of the gradient")


class Vae(gvr.Generator):
    """Decoder of a variational autoencoder with a Gaussian likelihood, whose latents are a map.

    A latent has `channels` numbers for each square of `reduction` pixels, flattened. A change at
    one place of the map changes the image there and hardly elsewhere, so that what is small and
    moves from patient to patient is still drawn. Its own inference network is the encoder.
    """

    version = "2"
    encoder = "inference"
    head = "conv"

    class Settings(AutoencoderSettings):
        """`beta` weighs the divergence from the prior relative to the summed squared error."""

        beta: float = Field(1.0, ge=0)
        sigma: float = Field(0.06, gt=0, description="standard deviation of the pixel noise")

    profiles = {"quick": {"steps": 3000}, "standard": {"steps": 10_000}}
    small_data = {"epochs": 150, "warm_start": True}
    newer = frozenset(small_data)
    settings: Settings
    data_parallel = True

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        return SpatialDecoder(image, self.settings, SpatialInference(image, self.settings))

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Train decoder and inference network together."""
        s = self.settings
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        some = torch.linspace(0, len(images) - 1, min(len(images), MEAN_OF)).long()
        steps = gvr.steps_within(s.epochs, s.steps, batch=s.batch, images=len(images))
        if s.warm_start and steps < s.steps and load_warm_start(net):
            ctx.note = (
                f"The generator begins with the phantom's weights and takes {steps:,} steps, not "
                f"{s.steps:,}, for it has {len(images):,} images (warm_start, epochs)"
            )
        else:
            net.start_at_mean(images[some])  # type: ignore[operator]
        weights = list(net.parameters())
        adam = torch.optim.Adam(weights, s.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        state: dict[str, gvr.Stateful] = {"net": net, "optimiser": adam, "schedule": schedule}
        shift, share = round(s.shift * images[torch.arange(1)].shape[-1]), ctx.shard(s.batch)
        for step in ctx.loop(steps, state, batch=s.batch, images=len(images)):
            rng = ctx.rng(step)
            x = images[torch.randint(len(images), (s.batch,), generator=rng)[share.rows]]
            x = gvr.translate(x, shift, rng, share)
            noise = torch.randn(s.batch, net.latent_dim, generator=rng)[share.rows]  # type: ignore[call-overload]
            losses = self.losses(net, x, noise.to(ctx.device), ctx)
            adam.zero_grad(set_to_none=True)
            loss = ctx.backward(torch.stack(list(losses.values())).sum(), weights, share)
            nn.utils.clip_grad_norm_(weights, s.clip)
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if step % 50 == 0 or step + 1 == steps:
                means = ctx.all_reduce_mean(share, *losses.values())
                ctx.log(**{name: mean.item() for name, mean in zip(losses, means, strict=True)})

    def losses(
        self, net: nn.Module, x: Tensor, noise: Tensor, ctx: gvr.Context
    ) -> dict[str, Tensor]:
        """Return the two parts of the negative evidence lower bound per image."""
        s = self.settings
        with ctx.autocast():
            mean, log_variance = net.inference.mean_and_log_variance(x)  # type: ignore[union-attr, operator]
            decoded = net(mean + noise * (log_variance / 2).exp()).float()
        error = (decoded - x).square().flatten(1).sum(1).mean() / (2 * s.sigma**2)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return {"reconstruction": error, "divergence": s.beta * divergence}


def load_warm_start(net: nn.Module) -> bool:
    """Load the weights of `WARM_START`; False where those of the network have other shapes."""
    weights = load_file(WARM_START)
    shapes = [{name: w.shape for name, w in part.items()} for part in (weights, net.state_dict())]
    if shapes[0] != shapes[1]:
        return False
    net.load_state_dict(weights)
    return True
