"""Stages that train the networks that make and encode images."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from gvr_bench.cache.hdf5 import write_arrays
from gvr_bench.cache.serialization import write_json, write_weights
from gvr_bench.core.components import Encoder, Generator
from gvr_bench.core.context import Context, seed_from
from gvr_bench.core.errors import TrainingError
from gvr_bench.pipeline.stage_context import StageContext, Step, freeze, load_generator


def seeded(build: Callable[[], nn.Module], ctx: Context) -> nn.Module:
    """Build a network whose initial weights depend on the stage alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from(ctx.seed, "weights"))
        return build().to(ctx.device)


def save_network(stage_ctx: StageContext, net: nn.Module) -> None:
    """Write weights and losses. Raises `TrainingError` where a weight is NaN or infinite."""
    for name, weight in net.state_dict().items():
        if not bool(weight.isfinite().all()):
            raise TrainingError(f"the weights {name} hold NaN or infinity after the last step")
    write_weights(stage_ctx.out("weights.safetensors"), net.state_dict())
    write_json(stage_ctx.out("history.json"), stage_ctx.ctx.history)


def compute_generator(stage_ctx: StageContext) -> str:
    net = train_generator(stage_ctx)
    write_samples(stage_ctx, freeze(net))
    save_network(stage_ctx, net)
    return stage_ctx.ctx.note


def announce(stage_ctx: StageContext) -> None:
    """Call the other processes of the run to this training, once its inputs were read intact."""
    group = stage_ctx.ctx.process_group
    if group and group.rank == 0:
        group.announce(stage_ctx.stage.key)


def train_generator(stage_ctx: StageContext) -> nn.Module:
    generator = cast(Generator, stage_ctx.stage.component)
    net = seeded(lambda: generator.build(stage_ctx.dataset().image), stage_ctx.ctx)
    images = stage_ctx.images("train")
    announce(stage_ctx)
    generator.fit(net, images, stage_ctx.ctx)
    return net


def write_samples(stage_ctx: StageContext, net: nn.Module, count: int = 16) -> None:
    """Decode a few draws from the prior, for people to look at."""
    z = torch.randn(count, cast(int, net.latent_dim), generator=stage_ctx.ctx.rng("samples"))
    with torch.no_grad():
        images = net(z.to(stage_ctx.ctx.device))
    write_arrays(stage_ctx.out("samples.h5"), {"samples": images.float().cpu().numpy()})


def compute_encoder(stage_ctx: StageContext) -> None:
    net = train_encoder(stage_ctx)
    save_network(stage_ctx, net)


def train_encoder(stage_ctx: StageContext) -> nn.Module:
    encoder = cast(Encoder, stage_ctx.stage.component)
    generator = load_generator(stage_ctx)
    net = seeded(lambda: encoder.build(stage_ctx.dataset().image, generator), stage_ctx.ctx)
    images = stage_ctx.images("train")
    announce(stage_ctx)
    encoder.fit(net, generator, images, stage_ctx.ctx)
    return net


STEPS = (
    Step(
        "generator",
        compute_generator,
        inputs=("images",),
        trains=True,
        data_parallel=train_generator,
        essential=True,
    ),
    Step(
        "encoder",
        compute_encoder,
        inputs=("generator", "images"),
        trains=True,
        data_parallel=train_encoder,
        essential=True,
    ),
)
