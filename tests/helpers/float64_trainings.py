"""`float64_trainings.py FILE`: train every data-parallel component, in double precision.

What differs then is more than rounding.
"""

from __future__ import annotations

import sys

import torch
from gvr_encoders.conv import Conv
from gvr_generators.vae import Vae
from gvr_generators.wgan_gp import WganGp
from safetensors.torch import save_file
from small_parts import Painter, Rack, frozen, seeded

import gvr_bench.api as gvr
from gvr_bench.core.interrupts import Stop
from gvr_bench.core.process_group import ProcessGroup, are_several, process_group

torch.set_default_dtype(torch.float64)
torch.Tensor.float = lambda self: self  # type: ignore[method-assign,assignment]
IMAGE = gvr.ImageSpec(1, 16)
STEPS = 30
SMALL = {"width": 4, "batch": 5}  # which two or three processes share unevenly


def train(
    component: gvr.Generator | gvr.Encoder, group: ProcessGroup | None
) -> dict[str, torch.Tensor]:
    """Train, and return weights and losses."""
    rng = torch.Generator().manual_seed(1)
    images = Rack(torch.rand(30, 1, 16, 16, generator=rng) * 2 - 1)
    ctx = gvr.Context(torch.device("cpu"), seed=3, process_group=group)
    if isinstance(component, gvr.Encoder):
        painter = frozen(seeded(Painter))
        net = seeded(lambda: component.build(IMAGE, painter))
        component.fit(net, painter, images, ctx)
    else:
        net = seeded(lambda: component.build(IMAGE))
        component.fit(net, images, ctx)
    losses = torch.tensor([list(row.values()) for row in ctx.history])
    return {**net.state_dict(), "losses": losses}


def main() -> None:
    """Train together, and let the first process write."""
    group = process_group() if are_several() else None
    if group:
        group.connect(torch.device("cpu"), Stop())
    tensors = {}
    for component in (
        WganGp(WganGp.Settings(latent_dim=4, iterations=STEPS, averaging=0.5, **SMALL)),
        Vae(Vae.Settings(channels=4, steps=STEPS, **SMALL)),
        Conv(Conv.Settings(steps=STEPS, **SMALL)),
    ):
        name = type(component).__name__
        trained = train(component, group)
        tensors |= {f"{name}/{part}": value.contiguous() for part, value in trained.items()}
    if not (group and group.rank):
        save_file(tensors, sys.argv[1])


main()
