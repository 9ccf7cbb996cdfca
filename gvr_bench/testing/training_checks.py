"""Training a network in every way that must not matter, and the rules of that."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gvr_bench.core.context import Context
from gvr_bench.registry.explainer_contract import Violation
from gvr_bench.testing.check_report import CheckReport, NotAsked
from gvr_bench.testing.rng import MEND, borrowed, watched

RULES = {
    "class": "its class, its signatures and its settings are what the core can use",
    "build": "the network is of the promised shape, float32 and finite",
    "fit": "the training ends, with finite weights",
    "input": "images, latents, labels and the generator are left as they were",
    "batch": "the trained network says the same of an image in any batch",
    "repeatable": "the same seed gives the same weights",
    "own draws": "training leaves the global random numbers of torch, numpy and Python alone",
    "resumable": "a training that is killed and goes on ends with the same weights",
}
STOPS = {"class", "build", "fit", "repeatable"}
SEED = 3
ROUNDING = 1e-4


@dataclass(frozen=True)
class Trial:
    """One case: how a network is built and trained, what it then sees, and what it should give.

    `given` are the tensors and `frozen` the networks that training must leave alone; `span` is the
    range of the outputs.
    """

    label: str
    build: Callable[[], nn.Module]
    fit: Callable[[nn.Module, Context], None]
    inputs: Callable[[nn.Module], Tensor]
    shape: tuple[int, ...]
    given: tuple[Tensor, ...] = ()
    frozen: tuple[nn.Module, ...] = ()
    span: float = float("inf")


class Killed(Exception):  # noqa: N818
    """The machine went away."""


class Interrupted:
    """Keeps a training's state, and kills it once, right after the first checkpoint."""

    def __init__(self) -> None:
        self.kept: tuple[int, dict[str, Any], list[dict[str, float]]] | None = None

    def due(self) -> bool:
        """Keep the state after the first step."""
        return self.kept is None

    def load(self) -> tuple[int, dict[str, Any], list[dict[str, float]]] | None:
        """Return what was kept."""
        return copy.deepcopy(self.kept)

    def save(self, step: int, state: dict[str, Any], history: list[dict[str, float]]) -> None:
        """Keep a copy and end the training."""
        self.kept = copy.deepcopy((step, state, history))
        raise Killed

    def looping(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing special while a loop runs."""
        return contextlib.nullcontext()


def judge(trial: Trial, sheet: CheckReport) -> None:
    """Build, train, train again, kill and go on."""
    with sheet.case(trial.label, rule="build"):
        network_breaches(trial, built(trial), sheet)
    if "build" in sheet.found:
        return
    with sheet.case(trial.label, rule="fit"):
        training_breaches(trial, sheet)


def built(trial: Trial) -> nn.Module:
    """Build a network whose first weights depend on the seed, as the core does."""
    with borrowed():
        torch.manual_seed(SEED)
        return trial.build()


@torch.no_grad()
def network_breaches(trial: Trial, net: nn.Module, sheet: CheckReport) -> None:
    """Look at what an untrained network gives."""
    made = net.eval()(trial.inputs(net))
    shape = tuple(made.shape)
    if shape != trial.shape:
        mend = f"build() returns a network that gives {trial.shape}"
        sheet.add(trial.label, Violation("build", f"gives shape {shape}, not {trial.shape}", mend))
    elif made.dtype != torch.float32:
        sheet.add(trial.label, Violation("build", f"gives {made.dtype}", "give torch.float32"))
    elif not bool(made.isfinite().all()):
        sheet.add(
            trial.label, Violation("build", "gives NaN or infinity", "begin with small weights")
        )
    elif made.abs().max().item() > trial.span:
        what = f"gives values up to {made.abs().max():.3g}"
        sheet.add(trial.label, Violation("build", what, "end with nn.Tanh()"))


def training_breaches(trial: Trial, sheet: CheckReport) -> None:
    """Train in every way that must not matter."""
    kept = [tensor.clone() for tensor in trial.given]
    nets = [copy.deepcopy(net.state_dict()) for net in trial.frozen]
    first, turned = watched(lambda: trained(trial), SEED)
    sheet.add(trial.label, *turned)
    touched = not all(map(torch.equal, kept, trial.given)) or not all(
        alike(before, net.state_dict(), 0.0) for before, net in zip(nets, trial.frozen, strict=True)
    )
    if touched:
        what = "changed what it was given to learn from"
        sheet.add(trial.label, Violation("input", what, "work on a copy, and train `net` alone"))
    weights = first.state_dict()
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        mend = "give ctx.log the loss: it stops a training that leaves the numbers"
        sheet.add(trial.label, Violation("fit", "leaves weights with NaN or infinity", mend))
        raise NotAsked
    batch_breaches(trial, first, sheet)
    again, _ = watched(lambda: trained(trial), SEED)
    if not alike(weights, again.state_dict(), 0.0):
        sheet.add(
            trial.label, Violation("repeatable", "another training gives other weights", MEND)
        )
        raise NotAsked
    other, _ = watched(lambda: trained(trial), SEED + 1)
    if not turned and not alike(weights, other.state_dict(), 0.0):
        what = "other weights when the global random numbers are seeded otherwise"
        sheet.add(trial.label, Violation("own draws", what, MEND))
    resumed, _ = watched(lambda: interrupted(trial), SEED)
    if not alike(weights, resumed.state_dict(), ROUNDING):
        mend = "put all that changes into the state of ctx.loop, and draw from ctx.rng(step)"
        sheet.add(trial.label, Violation("resumable", "ends with other weights", mend))


@torch.no_grad()
def batch_breaches(trial: Trial, net: nn.Module, sheet: CheckReport) -> None:
    """Ask a trained network about a batch, and about its parts."""
    net.eval()
    x = trial.inputs(net)
    together, alone = net(x), torch.cat([net(one) for one in torch.split(x, 1)])
    apart = (together - alone).abs().max().item()
    if not apart <= ROUNDING * max(1.0, together.abs().max().item()):
        mend = "in eval mode use no statistics of the batch"
        sheet.add(trial.label, Violation("batch", f"differs by {apart:.2g} alone", mend))


def trained(trial: Trial, ctx: Context | None = None) -> nn.Module:
    """Build and train."""
    net = built(trial)
    trial.fit(net.train(), ctx or Context(torch.device("cpu"), SEED))
    return net


def interrupted(trial: Trial) -> nn.Module:
    """Build and train, are killed after a step, and do both again with what was kept."""
    checkpoints = Interrupted()
    for _ in range(2):
        with contextlib.suppress(Killed):
            return trained(trial, Context(torch.device("cpu"), SEED, checkpoints=checkpoints))
    raise RuntimeError("a training that was killed did not go on")


def alike(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float) -> bool:
    """Whether weights are the same, to within a tolerance."""
    return a.keys() == b.keys() and all(
        torch.allclose(a[name].float(), b[name].float(), rtol=tolerance, atol=tolerance)
        for name in a
    )
