"""Generators, encoders and heads, each trained on something tiny."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gvr_bench.core.components import Encoder, Generator, Head
from gvr_bench.core.types import ImageSpec, Kind, Latents, Task
from gvr_bench.testing.check_report import CheckReport, CheckResult
from gvr_bench.testing.components import Check, Made
from gvr_bench.testing.rng import borrowed
from gvr_bench.testing.toy_models import LATENT, SIZE, TASKS, Decoder
from gvr_bench.testing.training_checks import RULES, SEED, STOPS, Trial, judge

FEW, MANY = 3, 48
IMAGES = tuple(ImageSpec(channels, SIZE) for channels in (1, 3))


class Pictures:
    """48 random images in memory as a trainer reads them: binary labels, two per patient."""

    task = TASKS["binary"]

    def __init__(self, image: ImageSpec) -> None:
        rng = torch.Generator().manual_seed(SEED)
        shape = (MANY, image.channels, image.size, image.size)
        self.pixels = torch.rand(shape, generator=rng) * 2 - 1
        self.targets = (torch.arange(MANY)[:, None] % 2).float()
        self.patient_ids: NDArray[np.str_] = np.asarray([f"p{i // 2}" for i in range(MANY)])

    def __len__(self) -> int:
        return MANY

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return images (n, C, H, W) in [-1, 1]."""
        return self.pixels[index]


def check_head(head: type[Head] | Head, /, **settings: Any) -> list[CheckResult]:
    """Hold a head to the rules on tiny latents, with a task of each kind.

    Give it few steps, e.g. `check_head(Mine, steps=5)`: it is trained five times per task.
    """
    return HEADS.verdicts(head, settings)


def head_trial(head: Head, task: Task) -> Trial:
    """Fit a head on random latents."""
    rng = torch.Generator().manual_seed(SEED)
    z, classes = torch.randn(MANY, LATENT, generator=rng), len(task.outputs)
    targets = torch.rand(MANY, task.columns, generator=rng)
    if task.kind != "regression":
        targets = (targets * (classes if task.kind == "multiclass" else 2)).floor()
    train, validation = Latents(z[FEW:], targets[FEW:]), Latents(z[:FEW], targets[:FEW])
    seen = torch.rand(FEW, 1, SIZE, SIZE, generator=rng) if head.sees == "images" else z[:FEW]
    return Trial(
        task.kind,
        lambda: head.build(LATENT, task),
        lambda net, ctx: head.fit(net, train, validation, task, ctx),
        lambda _: seen,
        (FEW, classes),
        (z, targets),
    )


def check_encoder(encoder: type[Encoder] | Encoder, /, **settings: Any) -> list[CheckResult]:
    """Hold an encoder to the rules on tiny images of one and of three channels.

    Give it few steps: it is trained five times per case.
    """
    return ENCODERS.verdicts(encoder, settings)


def encoder_trial(encoder: Encoder, image: ImageSpec) -> Trial:
    """Train an encoder through a random decoder."""
    images = Pictures(image)
    with borrowed():
        torch.manual_seed(SEED)
        generator = Decoder(image.channels).eval().requires_grad_(False)
    return Trial(
        str(image),
        lambda: encoder.build(image, generator),
        lambda net, ctx: encoder.fit(net, generator, images, ctx),
        lambda _: images.pixels[:FEW],
        (FEW, LATENT),
        (images.pixels, images.targets),
        (generator,),
    )


def check_generator(
    generator: type[Generator] | Generator, /, **settings: Any
) -> list[CheckResult]:
    """Hold a generator to the rules on tiny images of one and of three channels.

    Give it few steps: it is trained five times per case.
    """
    return GENERATORS.verdicts(generator, settings)


def generator_trial(generator: Generator, image: ImageSpec) -> Trial:
    """Train a generator on random images."""
    images = Pictures(image)

    def prior(net: nn.Module) -> Tensor:
        dimension = getattr(net, "latent_dim", None)
        if not isinstance(dimension, int):
            raise TypeError(f"its latent_dim is {dimension!r}, not a whole number")
        return torch.randn(FEW, dimension, generator=torch.Generator().manual_seed(SEED))

    return Trial(
        str(image),
        lambda: generator.build(image),
        lambda net, ctx: generator.fit(net, images, ctx),
        prior,
        (FEW, image.channels, SIZE, SIZE),
        (images.pixels, images.targets),
        span=1.0,
    )


def trained(
    kind: Kind, base: type[Any], trial: Callable[[Made, Any], Trial], cases: Collection[Any]
) -> Check[Made]:
    """Make a check of the trials of a component in several cases."""

    def attempt(made: Made, sheet: CheckReport) -> None:
        for case in cases:
            judge(trial(made, case), sheet)

    return Check(kind, base, RULES, STOPS, attempt)


HEADS = trained("head", Head, head_trial, TASKS.values())
ENCODERS = trained("encoder", Encoder, encoder_trial, IMAGES)
GENERATORS = trained("generator", Generator, generator_trial, IMAGES)
