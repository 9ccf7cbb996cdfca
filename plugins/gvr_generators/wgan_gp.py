"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), as trained in the papers."""

from __future__ import annotations

import copy
import math

import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

from .dcgan import Decoder, Features


class WganGp(gvr.Generator):
    """DCGAN with SELU and without batch norm, trained with a gradient penalty.

    Source: generative visual rationales (2018), section 2.
    """

    class Settings(gvr.Settings):
        """Defaults are those of the papers, otherwise of Gulrajani et al."""

        latent_dim: int = Field(100, ge=1)
        width: int = Field(64, ge=1, description="channels at half the image size")
        iterations: int = Field(200_000, ge=1, description="generator steps")
        batch: int = Field(64, ge=2)
        critic_steps: int = Field(4, ge=1)
        penalty: float = Field(10.0, ge=0, description="weight of the gradient penalty")
        learning_rate: float = Field(5e-5, gt=0)
        beta1: float = Field(0.5, ge=0, lt=1)
        beta2: float = Field(0.9, ge=0, lt=1)
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")
        averaging: float = Field(
            0.0, ge=0, lt=1, description="decay of the running average of the generator's weights"
        )

    profiles = {
        "quick": {  # the best use of a few minutes on two cores
            "width": 24,
            "iterations": 5000,
            "batch": 32,
            "critic_steps": 2,
            "learning_rate": 1e-3,
            "averaging": 0.998,
        },
        "standard": {
            "width": 32,
            "iterations": 20_000,
            "learning_rate": 2e-4,
            "averaging": 0.999,
        },
    }
    settings: Settings
    data_parallel = True

    def build(self, image: gvr.ImageSpec) -> nn.Module:
        return Decoder(image, self.settings.latent_dim, self.settings.width)

    def fit(self, net: nn.Module, images: gvr.Images, ctx: gvr.Context) -> None:
        """Train generator and critic alternately."""
        s = self.settings
        _, channels, size, _ = images[torch.arange(1)].shape
        generator = copy.deepcopy(net)
        critic = self.critic(gvr.ImageSpec(channels, size), ctx.seed)
        critic.to(ctx.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (s.beta1, s.beta2)
        g_step = torch.optim.Adam(generator.parameters(), s.learning_rate, betas=betas, fused=True)
        c_step = torch.optim.Adam(critic.parameters(), s.learning_rate, betas=betas, fused=True)
        state: dict[str, gvr.Stateful] = {
            "average": net,
            "generator": generator,
            "critic": critic,
            "generator_optimiser": g_step,
            "critic_optimiser": c_step,
        }
        shift, n = round(s.shift * size), s.batch * s.critic_steps
        share, share_g = ctx.shard(s.batch, s.critic_steps), ctx.shard(s.batch)
        for step in ctx.loop(s.iterations, state, batch=n, images=len(images)):
            rng = ctx.rng(step)
            index = torch.randint(len(images), (n,), generator=rng)
            real = gvr.translate(images[index[share.rows]], shift, rng, share)
            noise = torch.randn(n + s.batch, s.latent_dim, generator=rng)
            mix = torch.rand(n, 1, 1, 1, generator=rng)[share.rows].to(ctx.device)
            with torch.no_grad(), ctx.autocast():
                fake = generator(noise[share.rows].to(ctx.device)).float()
            for parts in zip(*(t.split(share.each) for t in (real, fake, mix)), strict=True):
                c_step.zero_grad(set_to_none=True)
                loss, distance = critic_loss(critic, *parts, s.penalty, ctx)
                loss = ctx.backward(loss, critic.parameters(), share)
                c_step.step()
            g_step.zero_grad(set_to_none=True)
            critic.requires_grad_(False)
            with ctx.autocast():
                score = critic(generator(noise[n:][share_g.rows].to(ctx.device))).float().mean()
            ctx.backward(-score, generator.parameters(), share_g)
            critic.requires_grad_(True)
            g_step.step()
            average(net, generator, min(s.averaging, step / (step + 10)))
            if not math.isfinite(loss.item()):
                ctx.log(critic_loss=loss.item())
            if step % 50 == 0 or step + 1 == s.iterations:
                (distance,) = ctx.all_reduce_mean(share, distance)
                ctx.log(wasserstein=distance.item(), critic_loss=loss.item())

    def critic(self, image: gvr.ImageSpec, seed: int) -> nn.Module:
        """Return the initial critic of a seed."""
        with torch.random.fork_rng():
            torch.manual_seed(gvr.seed_from(seed, "critic"))
            return Features(image, 1, self.settings.width)


def critic_loss(
    critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor, penalty: float, ctx: gvr.Context
) -> tuple[Tensor, Tensor]:
    """Return the critic's loss and its estimate of the Wasserstein distance.

    `mix` (N, 1, 1, 1) in [0, 1] interpolates between real and fake images, which get a separate
    pass: only they are differentiated twice. Source: Gulrajani et al. 2017, algorithm 1.
    """
    n = len(real)
    between = (real + mix * (fake - real)).requires_grad_()
    with ctx.autocast():
        scores = critic(torch.cat([real, fake])).float()
        total = critic(between).float().sum()
    distance = scores[:n].mean() - scores[n:].mean()
    (slope,) = torch.autograd.grad(total, between, create_graph=True)
    excess = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty * excess - distance, distance.detach()


@torch.no_grad()
def average(net: nn.Module, latest: nn.Module, decay: float) -> None:
    """Move the weights of `net` towards `latest`; `decay` 0 copies them."""
    for mean, new in zip(net.parameters(), latest.parameters(), strict=True):
        mean.lerp_(new, 1 - decay)
