"""How heads are fitted, on latents or on images, and calibrated."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr

SAMPLE = 2048  # training inputs from which mean and spread are taken


class Standardise(nn.Module):
    """Standardise inputs (N, *shape) by the training set's mean and deviation of each number.

    `radius` () is the root mean square distance of inputs from their mean.
    """

    mean: Tensor
    deviation: Tensor
    radius: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.register_buffer("radius", torch.tensor(math.prod(shape) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take them from training inputs (M, *inputs), whose axes of length 1 here are pooled."""
        axes = [0, *(i + 1 for i, n in enumerate(self.mean.shape) if n == 1 and x.shape[i + 1] > 1)]
        self.mean.copy_(x.mean(axes, keepdim=True)[0])
        self.deviation.copy_(x.std(axes, correction=0, keepdim=True)[0].clamp_min(1e-3))
        self.radius.copy_(x.std(0, correction=0).norm())


class FittedHead(gvr.Head):
    """Fits a network by AdamW, restores the weights with the lowest validation loss, calibrates.

    The network begins with `Standardise` and ends with a linear layer. `mixed_precision` trains it
    in bfloat16 where the processor is faster so, and with channels last.
    """

    mixed_precision: ClassVar[bool] = False

    class Settings(gvr.Settings):
        """Training of a head, which the papers do not specify."""

        steps: int = Field(5000, ge=1)
        batch: int = Field(512, ge=1)
        learning_rate: float = Field(2e-3, gt=0, description="at the start; falls to 0 as a cosine")
        weight_decay: float = Field(1e-2, ge=0)
        checks: int = Field(50, ge=1, description="evaluations of the validation loss")
        contaminated: bool = Field(
            False, description="fit on the test images, as the papers' contaminated classifier"
        )

    version = "3"
    profiles = {"quick": {"steps": 2000}}
    settings: Settings

    def fit(
        self,
        net: nn.Module,
        train: gvr.Latents | gvr.Images,
        validation: gvr.Latents | gvr.Images,
        task: gvr.Task,
        ctx: gvr.Context,
    ) -> None:
        """Minimise squared error (regression) or cross-entropy."""
        s = self.settings
        labelled, held_out = labelled_rows(train), labelled_rows(validation)
        steps = self.steps(len(labelled))
        set_scale(net, train, labelled, task)
        if self.mixed_precision:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        precision = ctx.autocast if self.mixed_precision else contextlib.nullcontext
        adam = torch.optim.AdamW(net.parameters(), s.learning_rate, weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        best = Best(net)
        state: dict[str, gvr.Stateful] = {
            "head": net,
            "optimiser": adam,
            "schedule": schedule,
            "best": best,
        }
        every = max(1, steps // s.checks)
        net.train()
        for step in ctx.loop(steps, state, batch=s.batch, images=len(labelled)):
            rng = ctx.rng(step)
            index = labelled[torch.randint(len(labelled), (s.batch,), generator=rng)]
            x = self.augment(inputs(train, index), rng)
            with precision():
                loss = self.loss(net, x, targets_of(train, index), task, step / steps)
            adam.zero_grad(set_to_none=True)
            (loss + self.regularise(net, task)).backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if (step + 1) % every == 0 or step + 1 == steps:
                with precision():
                    value = self.validate(net, validation, held_out, task)
                with torch.no_grad():
                    best.offer(net, value + float(self.regularise(net, task)))
                # A contaminated head is validated on its own training images.
                ctx.log(loss=loss.item(), **({} if s.contaminated else {"validation_loss": value}))
        best.restore(net)
        calibrate(net.eval(), validation, held_out, task)

    def steps(self, images: int) -> int:
        """Return the number of steps of a training on so many labelled images."""
        return self.settings.steps

    def augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return the inputs (N, ...) of a step as they are trained on."""
        return x

    def loss(
        self, net: nn.Module, x: Tensor, targets: Tensor, task: gvr.Task, done: float
    ) -> Tensor:
        """Return the loss for inputs (N, ...) with scaled targets (N, columns).

        `done` is the share of the training that is over.
        """
        return gvr.task_loss(net(x).float(), targets, task)

    def regularise(self, net: nn.Module, task: gvr.Task) -> Tensor | float:
        """Return a penalty to add to the training loss."""
        return 0.0

    def validate(
        self,
        net: nn.Module,
        data: gvr.Latents | gvr.Images,
        index: Tensor,
        task: gvr.Task,
    ) -> float:
        """Return the mean loss over the rows `index` of `data`, as at the end of the training."""
        total = 0.0
        net.eval()
        for part in torch.split(index, SAMPLE):
            with torch.no_grad():
                loss = self.loss(net, inputs(data, part), targets_of(data, part), task, 1.0)
            total += loss.item() * len(part)
        net.train()
        return total / len(index)


def labelled_rows(data: gvr.Latents | gvr.Images) -> Tensor:
    """Return the positions (M,) of rows with all labels."""
    return torch.nonzero(~data.targets.isnan().any(1)).flatten().cpu()


def inputs(data: gvr.Latents | gvr.Images, index: Tensor) -> Tensor:
    """Return latents (n, D) or images (n, C, H, W) by position."""
    if isinstance(data, gvr.Latents):
        return data.z[index.to(data.z.device)]
    return data[index]


def targets_of(data: gvr.Latents | gvr.Images, index: Tensor) -> Tensor:
    """Return scaled targets (n, columns) by position."""
    return data.targets[index.to(data.targets.device)]


@torch.no_grad()
def set_scale(
    net: nn.Module, train: gvr.Latents | gvr.Images, labelled: Tensor, task: gvr.Task
) -> None:
    """Standardise the input, and initialise regression at the mean of the targets."""
    first, last = net[0], net[-1]  # type: ignore[index]
    if isinstance(train, gvr.Latents):
        first.fit(train.z)
    else:
        first.fit(inputs(train, labelled[:: max(1, len(labelled) // SAMPLE)]))
    if task.kind == "regression":
        last.bias.copy_(targets_of(train, labelled).mean(0))


@torch.no_grad()
def calibrate(
    net: nn.Module, data: gvr.Latents | gvr.Images, index: Tensor, task: gvr.Task
) -> None:
    """Divide the outputs by the temperature with the lowest cross-entropy on validation inputs.

    One temperature for classes, one per output otherwise; it becomes part of the last layer. Values
    of a regression stay. Source: Guo et al. 2017, section 4.2.
    """
    if task.kind == "regression":
        return
    outputs = torch.cat([net(inputs(data, part)) for part in torch.split(index, SAMPLE)])
    targets = targets_of(data, index)
    if task.kind == "multiclass":
        scale = best_scale(outputs, targets, task).expand(len(task.outputs))
    else:
        columns = zip(outputs.split(1, 1), targets.split(1, 1), strict=True)
        scale = torch.stack([best_scale(*column, task) for column in columns])
    last = net[-1]  # type: ignore[index]
    last.weight.mul_(scale[:, None])
    last.bias.mul_(scale)


def best_scale(outputs: Tensor, targets: Tensor, task: gvr.Task) -> Tensor:
    """Return the inverse temperature () with the lowest cross-entropy, of a fine grid."""
    scales = torch.logspace(-2, 1, 301, device=outputs.device)
    losses = torch.stack([gvr.task_loss(outputs * scale, targets, task) for scale in scales])
    return scales[losses.argmin()]


class Best:
    """The weights with the lowest loss so far."""

    def __init__(self, net: nn.Module) -> None:
        self.weights = copy.deepcopy(net.state_dict())
        self.loss = float("inf")

    def offer(self, net: nn.Module, loss: float) -> None:
        """Store the weights of `net` if `loss` is the lowest."""
        if loss < self.loss:
            self.weights, self.loss = copy.deepcopy(net.state_dict()), loss

    def restore(self, net: nn.Module) -> None:
        """Load the best weights into `net`."""
        net.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, object]:
        """Return the state for a checkpoint."""
        return {"weights": self.weights, "loss": self.loss}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Load the state of a checkpoint."""
        self.__dict__.update(state)
