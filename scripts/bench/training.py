"""Speed of the WGAN-GP compared with a plain implementation: `python scripts/bench/training.py`.

Both train alternately on the same phantom images with the same networks, batches and steps. The
plain one is float32 and contiguous NCHW. `--quality` compares the results of equal training
instead.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from gvr_datasets.phantom.dataset import Phantom
from gvr_generators.dcgan import MIN_SIZE, Decoder
from gvr_generators.wgan_gp import WganGp
from sklearn.decomposition import PCA
from timing import finish, ratio, say, spread, table
from torch import Tensor, nn

import gvr_bench.api as gvr
from gvr_bench.data.stored_images import to_float
from gvr_bench.metrics.frechet import frechet_distance
from gvr_bench.pipeline.options import choose_device, gains_from_bfloat16

SPEC = gvr.ImageSpec(channels=1, size=32)
COMPONENTS = 64  # of the pixels, on which the Frechet distance is taken


@dataclass
class Pixels:
    """Images of the phantom in memory, as a trainer reads them."""

    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> Tensor:
        return to_float(self.pixels[index.to(self.pixels.device)])


class Watch(gvr.Context):
    """A context that measures the time from step `first` on, and stores the training state."""

    first: int = 0
    seconds: float = 0.0
    parts: Mapping[str, gvr.Stateful]

    def loop(
        self, total: int, state: Mapping[str, gvr.Stateful], *, batch: int = 0, images: int = 0
    ) -> Iterator[int]:
        """Yield the steps."""
        self.parts, start = state, 0.0
        for step in super().loop(total, state, batch=batch, images=images):
            if step == self.first:
                finish(self.device)
                start = time.perf_counter()
            yield step
        finish(self.device)
        self.seconds = time.perf_counter() - start


def plain_decoder(ours: Decoder) -> nn.Module:
    """Return the same layers with the same weights, without channels_last."""
    unflatten = nn.Unflatten(1, (-1, MIN_SIZE, MIN_SIZE))
    return nn.Sequential(copy.deepcopy(ours.first), unflatten, *copy.deepcopy(ours.layers))


def plain_fit(s: WganGp.Settings, net: nn.Module, images: Pixels, ctx: gvr.Context) -> None:
    """Train by algorithm 1 of Gulrajani et al. (2017); otherwise like `WganGp.fit`."""
    generator, critic = copy.deepcopy(net), WganGp(s).critic(SPEC, ctx.seed).to(ctx.device)
    betas = (s.beta1, s.beta2)
    g_adam = torch.optim.Adam(generator.parameters(), s.learning_rate, betas=betas)
    c_adam = torch.optim.Adam(critic.parameters(), s.learning_rate, betas=betas)
    for step in ctx.loop(s.iterations, {"generator": generator, "critic": critic}):
        rng = ctx.rng(step)
        for _ in range(s.critic_steps):
            real = images[torch.randint(len(images), (s.batch,), generator=rng)]
            real = gvr.translate(real, round(s.shift * SPEC.size), rng)
            # One channel counts as contiguous whatever its strides; only a copy makes them so.
            real = real.clone(memory_format=torch.contiguous_format)
            with torch.no_grad():
                fake = generator(noise(s, rng, ctx.device))
            mix = torch.rand(s.batch, 1, 1, 1, generator=rng).to(ctx.device)
            between = (real + mix * (fake - real)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            excess = (slope.flatten(1).norm(dim=1) - 1).square().mean()
            loss = critic(fake).mean() - critic(real).mean() + s.penalty * excess
            c_adam.zero_grad()
            loss.backward()
            c_adam.step()
        critic.requires_grad_(False)
        g_adam.zero_grad()
        (-critic(generator(noise(s, rng, ctx.device))).mean()).backward()
        critic.requires_grad_(True)
        g_adam.step()
        decay = min(s.averaging, step / (step + 10))
        for mean, new in zip(net.parameters(), generator.parameters(), strict=True):
            mean.data.lerp_(new.data, 1 - decay)


def noise(s: WganGp.Settings, rng: torch.Generator, device: torch.device) -> Tensor:
    """Draw one batch of latents."""
    return torch.randn(s.batch, s.latent_dim, generator=rng).to(device)


class Benchmark:
    """The implementations, on the same images."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        phantom = Phantom(Phantom.Settings(**Phantom.profiles["quick"]))
        parts = {name: phantom.split(name) for name in ("train", "test")}
        self.images = {
            name: Pixels(torch.from_numpy(split.images(np.arange(len(split)))).to(device))
            for name, split in parts.items()
        }
        self.names = ["ours", "ours in float32", "plain"]
        if not gains_from_bfloat16(device):
            self.names.remove("ours in float32")

    def train(
        self, name: str, iterations: int, seed: int = 0, first: int = 0
    ) -> tuple[Watch, nn.Module]:
        """Train one implementation; return the context and the generator."""
        settings = WganGp.Settings(**{**WganGp.profiles["quick"], "iterations": iterations})
        ours = WganGp(settings)
        fast = name == "ours" and gains_from_bfloat16(self.device)
        ctx = Watch(self.device, seed, bfloat16=fast)
        ctx.first = first
        torch.manual_seed(seed)
        net = cast(Decoder, ours.build(SPEC)).to(self.device)
        images = self.images["train"]
        if name == "plain":
            net = plain_decoder(net)
            plain_fit(settings, net, images, ctx)
        else:
            ours.fit(net, cast(gvr.Images, images), ctx)
        return ctx, net

    def speed(self, rounds: int, iterations: int, warm: int) -> str:
        """Return a table of iterations a second."""
        rates: dict[str, list[float]] = defaultdict(list)
        for number in range(rounds + 1):  # the first is a warm-up
            for name in self.names:
                ctx, _ = self.train(name, warm + iterations, first=warm)
                if number:
                    rates[name].append(iterations / ctx.seconds)
            say(f"training: round {number} of {rounds}")
        rows = [
            (name, spread(rates[name]), ratio(rates[name], rates["plain"])) for name in self.names
        ]
        return table(("WGAN-GP", "iterations/s", "times the plain one"), rows)

    def quality(self, iterations: int, seeds: int) -> str:
        """Return a table of the quality after equal iterations from the same weights."""
        train, test = (images[torch.arange(len(images))] for images in self.images.values())
        pca = PCA(COMPONENTS, random_state=0).fit(flat(train))

        def to_test(images: Tensor) -> float:
            features = (torch.from_numpy(pca.transform(flat(x))) for x in (images, test))
            return frechet_distance(*features)

        wasserstein, frechet = (
            defaultdict[str, list[float]](list),
            defaultdict[str, list[float]](list),
        )
        for seed in range(seeds):
            for name in self.names:
                ctx, net = self.train(name, iterations, seed)
                wasserstein[name].append(critics_estimate(ctx, test))
                frechet[name].append(to_test(samples(net, len(test), self.device)))
                say(f"training: {name}, {iterations} iterations, seed {seed} of {seeds}")
        rows = [(name, spread(wasserstein[name]), spread(frechet[name])) for name in self.names]
        rows.append(("training images themselves", "", spread([to_test(train[: len(test)])])))
        head = f"after {iterations} iterations, {seeds} seeds"
        return table((head, "the critic's Wasserstein estimate", "Frechet distance"), rows)


def flat(images: Tensor) -> np.ndarray:
    """Return images (N, C, H, W) as rows of pixels."""
    return images.flatten(1).cpu().numpy()


@torch.no_grad()
def samples(net: nn.Module, count: int, device: torch.device) -> Tensor:
    """Draw images from a generator; the same latents for all."""
    z = torch.randn(count, WganGp.Settings().latent_dim, generator=torch.Generator().manual_seed(1))
    images: Tensor = net(z.to(device))
    return images


@torch.no_grad()
def critics_estimate(ctx: Watch, real: Tensor) -> float:
    """Return the critic's mean score of test images minus that of samples."""
    critic, generator = (cast(nn.Module, ctx.parts[name]) for name in ("critic", "generator"))
    fake = samples(generator, len(real), ctx.device)
    return float(critic(real).mean() - critic(fake).mean())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, help="per round 15; with --quality 2000 in all")
    parser.add_argument("--warm", type=int, default=3, help="untimed iterations of each round")
    parser.add_argument("--quality", action="store_true", help="compare results; takes long")
    parser.add_argument("--seeds", type=int, default=3, help="trainings compared by --quality")
    args = parser.parse_args()
    benchmark = Benchmark(choose_device(args.device))
    if args.quality:
        print(benchmark.quality(args.iterations or 2000, args.seeds))
    else:
        print(benchmark.speed(args.rounds, args.iterations or 15, args.warm))


if __name__ == "__main__":
    main()
