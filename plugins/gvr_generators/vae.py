"""The decoder of a variational autoencoder (Kingma & Welling 2014)."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .dcgan import Decoder, Features


class AutoencoderSettings(gvr.Settings):
    """Training of an autoencoder, which the papers do not specify."""

    latent_dim: int = Field(100, ge=1)
    width: int = Field(64, ge=1, description="channels at half the image size")
    steps: int = Field(100_000, ge=1)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0, description="at the start; falls to 0 as a cosine")
    shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")


class Vae(gvr.Generator):
    """Decoder of a variational autoencoder with a Gaussian likelihood.

    Its inference network is used only for training: as for every generator, the encoder is trained
    afterwards through the frozen decoder, so that generators can be compared.
    """

    class Settings(AutoencoderSettings):
        """`beta` weighs the divergence from the prior relative to the summed squared error."""

        beta: float = Field(1.0, ge=0)
        sigma: float = Field(0.3, gt=0, description="standard deviation of the pixel noise")

    profiles = {
        "quick": {"width": 32, "steps": 1500},
        "standard": {"width": 32, "steps": 10_000},
    }
    settings: Settings
    data_parallel = True

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        return Decoder(image, self.settings.latent_dim, self.settings.width)

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Train decoder and inference network together."""
        s = self.settings
        _, c, size, _ = images[torch.arange(1)].shape
        with torch.random.fork_rng():
            torch.manual_seed(gvr.seed_from(ctx.seed, "inference"))
            inference = self.inference(gvr.ImageSpec(c, size))
        inference.to(ctx.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = [*net.parameters(), *inference.parameters()]
        adam = torch.optim.Adam(weights, s.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, s.steps)
        state: dict[str, gvr.Stateful] = {
            "decoder": net,
            "inference": inference,
            "optimiser": adam,
            "schedule": schedule,
        }
        shift, share = round(s.shift * size), ctx.shard(s.batch)
        for step in ctx.loop(s.steps, state, batch=s.batch, images=len(images)):
            rng = ctx.rng(step)
            x = images[torch.randint(len(images), (s.batch,), generator=rng)[share.rows]]
            x = gvr.translate(x, shift, rng, share)
            noise = torch.randn(s.batch, s.latent_dim, generator=rng)[share.rows]
            losses = self.losses(net, inference, x, noise.to(ctx.device), ctx)
            adam.zero_grad(set_to_none=True)
            loss = ctx.backward(torch.stack(list(losses.values())).sum(), weights, share)
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if step % 50 == 0 or step + 1 == s.steps:
                means = ctx.all_reduce_mean(share, *losses.values())
                ctx.log(**{name: mean.item() for name, mean in zip(losses, means, strict=True)})

    def inference(self, image: gvr.ImageSpec) -> nn.Module:
        """Return a network for the mean and log-variance of latents: (N, 2 D)."""
        return Features(image, 2 * self.settings.latent_dim, self.settings.width)

    def losses(
        self,
        net: nn.Module,
        inference: nn.Module,
        x: Tensor,
        noise: Tensor,
        ctx: gvr.Context,
    ) -> dict[str, Tensor]:
        """Return the two parts of the negative evidence lower bound per image."""
        s = self.settings
        with ctx.autocast():
            mean, log_variance = inference(x).float().clamp(-10, 10).chunk(2, dim=1)
            decoded = net(mean + noise * (log_variance / 2).exp()).float()
        error = (decoded - x).square().flatten(1).sum(1).mean() / (2 * s.sigma**2)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return {"reconstruction": error, "divergence": s.beta * divergence}
