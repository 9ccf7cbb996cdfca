"""The checks of generators, encoders and heads, each trained on a tiny problem."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gvr_bench.core.components import Encoder, Generator, Head
from gvr_bench.core.context import Context
from gvr_bench.core.types import ImageSpec, Kind, Latents, Task
from gvr_bench.registry.explainer_contract import Violation
from gvr_bench.registry.global_rng import seeded
from gvr_bench.testing.checks import (
    DRAW_FROM_CONTEXT,
    AnyComponent,
    CheckReport,
    CheckResult,
    CheckSuite,
    StopCase,
    run_seeded,
)
from gvr_bench.testing.toy_models import LATENT, SAMPLES, SIZE, TASKS, Decoder, Pictures

CHECKS = {
    "class": "class, signatures and settings are usable by the core",
    "build": "the network has the right output shape, float32 and finite",
    "fit": "training ends with finite weights",
    "input": "training leaves images, latents, labels and the generator unchanged",
    "batch": "the trained network gives an image the same output in any batch",
    "repeatable": "the same seed gives the same weights",
    "global rng": "training leaves the global random numbers of torch, numpy and Python alone",
    "resumable": "training that is killed and resumed ends with the same weights",
}
BLOCKING = {"class", "build", "fit", "repeatable"}
SEED = 3
TOLERANCE = 1e-4
BATCH = 3
IMAGE_SPECS = tuple(ImageSpec(channels, SIZE) for channels in (1, 3))


@dataclass(frozen=True)
class Trial:
    """One case: how to build and train a network, its inputs, and the shape of its output.

    Training must leave the tensors `data` and the networks `frozen` alone; outputs are at most
    `limit` in absolute value.
    """

    label: str
    build: Callable[[], nn.Module]
    fit: Callable[[nn.Module, Context], None]
    inputs: Callable[[nn.Module], Tensor]
    shape: tuple[int, ...]
    data: tuple[Tensor, ...]
    frozen: tuple[nn.Module, ...] = ()
    limit: float = float("inf")

    def built(self) -> nn.Module:
        with seeded(SEED):
            return self.build()

    def trained(self, ctx: Context | None = None) -> nn.Module:
        net = self.built()
        self.fit(net.train(), ctx or Context(torch.device("cpu"), SEED))
        return net

    def resumed(self) -> nn.Module:
        """Train, stop after one step, and resume from the checkpoint."""
        checkpoints = StopOnce()
        for _ in range(2):
            with contextlib.suppress(Stopped):
                return self.trained(Context(torch.device("cpu"), SEED, checkpoints=checkpoints))
        raise RuntimeError("training that was stopped did not resume")


class Stopped(Exception):  # noqa: N818 - it simulates a kill
    """Training was stopped."""


class StopOnce:
    """Checkpoints in memory; the first one ends the training."""

    def __init__(self) -> None:
        self.checkpoint: tuple[int, dict[str, Any], list[dict[str, float]]] | None = None

    def due(self) -> bool:
        return self.checkpoint is None

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None:
        return copy.deepcopy(self.checkpoint)

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        self.checkpoint = copy.deepcopy((step, state, history))
        raise Stopped

    def looping(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def run_trial(trial: Trial, report: CheckReport) -> None:
    with report.case(trial.label, check="build"):
        check_untrained(trial, trial.built(), report)
    if report.failed("build"):
        return
    with report.case(trial.label, check="fit"):
        check_training(trial, report)


@torch.no_grad()
def check_untrained(trial: Trial, net: nn.Module, report: CheckReport) -> None:
    out = net.eval()(trial.inputs(net))
    if tuple(out.shape) != trial.shape:
        problem = f"output has shape {tuple(out.shape)}, not {trial.shape}"
        fix = f"return a network from build() whose output is {trial.shape}"
    elif out.dtype != torch.float32:
        problem, fix = f"output is {out.dtype}", "return torch.float32"
    elif not bool(out.isfinite().all()):
        problem, fix = "output contains NaN or infinity", "begin with small weights"
    elif out.abs().max().item() > trial.limit:
        problem, fix = f"output reaches {out.abs().max():.3g}", "end with nn.Tanh()"
    else:
        return
    report.add(trial.label, Violation("build", problem, fix))


def check_training(trial: Trial, report: CheckReport) -> None:
    """Train under conditions that must not matter, and compare the weights."""

    def fail(check: str, problem: str, fix: str) -> None:
        report.add(trial.label, Violation(check, problem, fix))

    data = [tensor.clone() for tensor in trial.data]
    frozen = [copy.deepcopy(net.state_dict()) for net in trial.frozen]
    net, draws = run_seeded(trial.trained, SEED)
    report.add(trial.label, *draws)
    if not all(map(torch.equal, data, trial.data)) or not all(
        same(before, after.state_dict()) for before, after in zip(frozen, trial.frozen, strict=True)
    ):
        fail("input", "changed its training data", "work on a copy, and train only `net`")
    weights = net.state_dict()
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        fix = "pass the loss to ctx.log, which stops training that diverges"
        fail("fit", "ends with NaN or infinity in its weights", fix)
        raise StopCase
    check_batches(trial, net, report)
    again, _ = run_seeded(trial.trained, SEED)
    if not same(weights, again.state_dict()):
        fail("repeatable", "training again gives other weights", DRAW_FROM_CONTEXT)
        raise StopCase
    other, _ = run_seeded(trial.trained, SEED + 1)
    if not draws and not same(weights, other.state_dict()):
        problem = "weights depend on the seed of the global random numbers"
        fail("global rng", problem, DRAW_FROM_CONTEXT)
    resumed, _ = run_seeded(trial.resumed, SEED)
    if not same(weights, resumed.state_dict(), TOLERANCE):
        fix = "put everything that changes into the state of ctx.loop, and draw from ctx.rng(step)"
        fail("resumable", "resumed training ends with other weights", fix)


@torch.no_grad()
def check_batches(trial: Trial, net: nn.Module, report: CheckReport) -> None:
    """Compare the outputs for a batch with those for its images one by one."""
    net.eval()
    x = trial.inputs(net)
    together, alone = net(x), torch.cat([net(image) for image in torch.split(x, 1)])
    difference = (together - alone).abs().max().item()
    if not difference <= TOLERANCE * max(1.0, together.abs().max().item()):
        problem = f"output differs by {difference:.2g} for an image alone"
        fix = "in eval mode use no statistics of the batch"
        report.add(trial.label, Violation("batch", problem, fix))


def same(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    return a.keys() == b.keys() and all(
        torch.allclose(a[name].float(), b[name].float(), rtol=tolerance, atol=tolerance)
        for name in a
    )


def check_head(head: type[Head] | Head, /, **settings: Any) -> list[CheckResult]:
    """Check a head on tiny latents, with a task of each kind.

    Use few steps, e.g. `check_head(Mine, steps=5)`: it is trained five times per task.
    """
    return HEADS.results(head, settings)


def head_trial(head: Head, task: Task) -> Trial:
    rng = torch.Generator().manual_seed(SEED)
    z, classes = torch.randn(SAMPLES, LATENT, generator=rng), len(task.outputs)
    targets = torch.rand(SAMPLES, task.columns, generator=rng)
    if task.kind != "regression":
        targets = (targets * (classes if task.kind == "multiclass" else 2)).floor()
    train, validation = Latents(z[BATCH:], targets[BATCH:]), Latents(z[:BATCH], targets[:BATCH])
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=rng)
    x = images if head.sees == "images" else z[:BATCH]
    return Trial(
        task.kind,
        lambda: head.build(LATENT, task),
        lambda net, ctx: head.fit(net, train, validation, task, ctx),
        lambda _: x,
        (BATCH, classes),
        (z, targets),
    )


def check_encoder(encoder: type[Encoder] | Encoder, /, **settings: Any) -> list[CheckResult]:
    """Check an encoder on tiny images; use few steps, for it is trained five times per case."""
    return ENCODERS.results(encoder, settings)


def encoder_trial(encoder: Encoder, image: ImageSpec) -> Trial:
    images = Pictures(image)
    with seeded(SEED):
        generator = Decoder(image.channels).eval().requires_grad_(False)
    return Trial(
        str(image),
        lambda: encoder.build(image, generator),
        lambda net, ctx: encoder.fit(net, generator, images, ctx),
        lambda _: images.pixels[:BATCH],
        (BATCH, LATENT),
        (images.pixels, images.targets),
        (generator,),
    )


def check_generator(
    generator: type[Generator] | Generator, /, **settings: Any
) -> list[CheckResult]:
    """Check a generator on tiny images; use few steps: it is trained five times per case."""
    return GENERATORS.results(generator, settings)


def generator_trial(generator: Generator, image: ImageSpec) -> Trial:
    images = Pictures(image)

    def prior(net: nn.Module) -> Tensor:
        dimension = getattr(net, "latent_dim", None)
        if not isinstance(dimension, int):
            raise TypeError(f"its latent_dim is {dimension!r}, not an integer")
        return torch.randn(BATCH, dimension, generator=torch.Generator().manual_seed(SEED))

    return Trial(
        str(image),
        lambda: generator.build(image),
        lambda net, ctx: generator.fit(net, images, ctx),
        prior,
        (BATCH, image.channels, SIZE, SIZE),
        (images.pixels, images.targets),
        limit=1.0,
    )


def suite(
    kind: Kind, base: type[Any], trial: Callable[[AnyComponent, Any], Trial], cases: Collection[Any]
) -> CheckSuite[AnyComponent]:
    def run(component: AnyComponent, report: CheckReport) -> None:
        for case in cases:
            run_trial(trial(component, case), report)

    return CheckSuite(kind, base, CHECKS, BLOCKING, run)


HEADS = suite("head", Head, head_trial, TASKS.values())
ENCODERS = suite("encoder", Encoder, encoder_trial, IMAGE_SPECS)
GENERATORS = suite("generator", Generator, generator_trial, IMAGE_SPECS)
