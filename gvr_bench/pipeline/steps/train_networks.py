"""Stages that train the networks that make and encode images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.cache.serialization import write_json, write_weights
from gvr_bench.core.components import Encoder, Generator
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import TrainingError
from gvr_bench.core.stage import Stage, StageKind
from gvr_bench.pipeline.stage_context import Bench, freeze, load_generator


def seeded(build: Callable[[], nn.Module], ctx: Context) -> nn.Module:
    """Build a network whose first weights depend on the stage alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from(ctx.seed, "weights"))
        return build().to(ctx.device)


def save_network(bench: Bench, net: nn.Module) -> None:
    """Write weights and losses. Raises `TrainingError` where a weight is NaN or infinite."""
    for name, weight in net.state_dict().items():
        if not bool(weight.isfinite().all()):
            raise TrainingError(f"the weights {name} hold NaN or infinity after the last step")
    write_weights(bench.out("weights.safetensors"), net.state_dict())
    write_json(bench.out("history.json"), bench.ctx.history)


def compute_generator(bench: Bench) -> None:
    """Train a generator on the training images, and write it."""
    with together(bench):
        net = train_generator(bench)
    write_samples(bench, freeze(net))
    save_network(bench, net)


def together(bench: Bench) -> contextlib.AbstractContextManager[None]:
    """Train with the other processes of the run, where there are some."""
    processes = bench.ctx.processes
    return processes.training(bench.stage.key) if processes else contextlib.nullcontext()


def train_generator(bench: Bench) -> nn.Module:
    """Train a generator on the training images."""
    generator = cast(Generator, bench.stage.component)
    net = seeded(lambda: generator.build(bench.dataset().image), bench.ctx)
    images = bench.images("train")
    generator.fit(net, images, bench.ctx)
    return net


def write_samples(bench: Bench, net: nn.Module, count: int = 16) -> None:
    """Decode a few draws from the prior, for people to look at."""
    z = torch.randn(count, cast(int, net.latent_dim), generator=bench.ctx.generator("samples"))
    with torch.no_grad():
        images = net(z.to(bench.ctx.device))
    write_arrays(bench.out("samples.h5"), {"samples": images.float().cpu().numpy()})


def compute_encoder(bench: Bench) -> None:
    """Train an encoder through the frozen generator, and write it."""
    with together(bench):
        net = train_encoder(bench)
    save_network(bench, net)


def train_encoder(bench: Bench) -> nn.Module:
    """Train an encoder through the frozen generator."""
    encoder = cast(Encoder, bench.stage.component)
    generator = load_generator(bench)
    net = seeded(lambda: encoder.build(bench.dataset().image, generator), bench.ctx)
    images = bench.images("train")
    encoder.fit(net, generator, images, bench.ctx)
    return net


TRAIN: dict[StageKind, Callable[[Bench], nn.Module]] = {
    "generator": train_generator,
    "encoder": train_encoder,
}


def is_shared(stage: Stage) -> bool:
    """Whether the processes of a run train this stage together."""
    made = stage.component
    return isinstance(made, Generator | Encoder) and stage.kind in TRAIN and made.shares
