"""The heads of the papers, which differ only in their architecture."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import gvr_bench.api as gvr


class Standardise(nn.Module):
    """Standardise each latent dimension (N, D) by the training set's mean and deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("deviation", torch.ones(latent_dim))

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.mean) / self.deviation


class Block(nn.Module):
    """x + SELU(Wx): one layer of the residual head."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layer = nn.Linear(units, units)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.selu(self.layer(x))


class FittedHead(gvr.Head):
    """Fits a network by AdamW and restores the weights with the lowest validation loss."""

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

    profiles = {"quick": {"steps": 2000}}
    settings: Settings

    def fit(
        self,
        net: nn.Module,
        train: gvr.Latents,
        validation: gvr.Latents,
        task: gvr.Task,
        ctx: gvr.Context,
    ) -> None:
        """Minimise squared error (regression) or cross-entropy."""
        s = self.settings
        set_scale(net, train, task)
        adam = torch.optim.AdamW(net.parameters(), s.learning_rate, weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, s.steps)
        best = Best(net)
        state: dict[str, gvr.Stateful] = {
            "head": net,
            "optimiser": adam,
            "schedule": schedule,
            "best": best,
        }
        every = max(1, s.steps // s.checks)
        for step in ctx.loop(s.steps, state, batch=s.batch, images=len(train)):
            index = torch.randint(len(train), (s.batch,), generator=ctx.rng(step))
            index = index.to(train.z.device)
            loss = self.loss(net, train.z[index], train.targets[index], task)
            adam.zero_grad(set_to_none=True)
            (loss + self.regularise(net, task)).backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if (step + 1) % every == 0 or step + 1 == s.steps:
                with torch.no_grad():
                    held_out = self.loss(net, validation.z, validation.targets, task)
                    best.offer(net, (held_out + self.regularise(net, task)).item())
                # A contaminated head is validated on its own training images.
                held_out_loss = {} if s.contaminated else {"validation_loss": held_out.item()}
                ctx.log(loss=loss.item(), **held_out_loss)
        best.restore(net)

    def loss(self, net: nn.Module, z: Tensor, targets: Tensor, task: gvr.Task) -> Tensor:
        """Return the loss for latents (N, D) with scaled targets (N, columns)."""
        return gvr.task_loss(net(z), targets, task)

    def regularise(self, net: nn.Module, task: gvr.Task) -> Tensor | float:
        """Return a penalty to add to the training loss."""
        return 0.0


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


@torch.no_grad()
def set_scale(net: nn.Module, train: gvr.Latents, task: gvr.Task) -> None:
    """Standardise the input, and initialise regression at the mean of the targets."""
    first, last = net[0], net[-1]  # type: ignore[index]
    first.mean.copy_(train.z.mean(0))
    first.deviation.copy_(train.z.std(0, correction=0).clamp_min(1e-3))
    if task.kind == "regression":
        last.bias.copy_(train.targets.mean(0))


class Linear(FittedHead):
    """One linear layer: linear, logistic or softmax regression, with a ridge penalty.

    Encoded latents are strongly correlated. Without the penalty the weights use directions in which
    images hardly vary, so that moving a latent along them changes the prediction but not the image.
    With it the head predicts equally well and is much harder to fool.
    """

    class Settings(FittedHead.Settings):
        """Settings of every head, and the ridge."""

        ridge: float | None = Field(
            None,
            ge=0,
            description="weight of the squared weights, latents being standardised; by default "
            "0.3 for regression and 0.01 for classification, whose loss is flatter",
        )

    settings: Settings

    def regularise(self, net: nn.Module, task: gvr.Task) -> Tensor:
        ridge = self.settings.ridge
        if ridge is None:  # chosen on validation images
            ridge = 0.3 if task.kind == "regression" else 0.01
        weight = net[-1].weight  # type: ignore[index]
        return ridge * weight.square().sum()

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        """Return the network, initialised at zero because a weak ridge keeps random weights."""
        layer = nn.Linear(latent_dim, len(task.outputs))
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(Standardise(latent_dim), layer)


class Mlp(FittedHead):
    """Two-layer perceptron with 256 hidden units (2018 paper, section 2)."""

    class Settings(FittedHead.Settings):
        """Settings of every head, and the width."""

        units: int = Field(256, ge=1)

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        units = self.settings.units
        return nn.Sequential(
            Standardise(latent_dim),
            nn.Linear(latent_dim, units),
            nn.SELU(),
            nn.Linear(units, len(task.outputs)),
        )


class Residual(FittedHead):
    """Six fully connected layers of 100 units with residual connections (2017 paper, Fig. 1)."""

    class Settings(FittedHead.Settings):
        """Settings of every head, width and depth."""

        units: int = Field(100, ge=1)
        layers: int = Field(6, ge=1)

    settings: Settings

    def build(self, latent_dim: int, task: gvr.Task) -> nn.Module:
        s = self.settings
        return nn.Sequential(
            Standardise(latent_dim),
            nn.Linear(latent_dim, s.units),
            *(Block(s.units) for _ in range(s.layers - 1)),
            nn.Linear(s.units, len(task.outputs)),
        )
