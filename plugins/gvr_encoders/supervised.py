"""The network of `conv`, trained from scratch on the labelled images."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

import gvr_bench.api as gvr

from .conv import ConvEncoder


class Supervised(ConvEncoder):
    """The network of `conv` with a linear layer on top, trained end to end with the task's loss.

    A baseline for small labelled sets. It ignores the generator: its latents do not decode to the
    image, and counterfactuals from them are meaningless.
    """

    supervised = True

    class Settings(gvr.Settings):
        width: int = Field(64, ge=1, description="channels at half the image size")
        steps: int = Field(20_000, ge=1)
        batch: int = Field(64, ge=2)
        learning_rate: float = Field(1e-3, gt=0, description="at the start; falls to 0 as a cosine")
        weight_decay: float = Field(1e-2, ge=0)
        shift: float = Field(1 / 16, ge=0, lt=0.5, description="largest translation, of the size")

    profiles = {"quick": {"width": 32, "steps": 1000}, "standard": {"width": 32}}
    settings: Settings

    def fit(
        self, net: nn.Module, generator: nn.Module, images: gvr.Images, ctx: gvr.Context
    ) -> None:
        """Train on the labelled images. Raises `DataError` if there are none."""
        s = self.settings
        labelled = torch.nonzero(~images.targets.isnan().any(1))[:, 0]
        if len(labelled) == 0:
            raise gvr.DataError("encoder 'supervised' needs labelled images, and none is")
        first = net(images[labelled[:1]])
        width = first.shape[1], len(images.task.outputs)
        top = nn.utils.skip_init(nn.Linear, *width, device=ctx.device)  # initialised at zero below
        nn.init.zeros_(top.weight)
        nn.init.zeros_(top.bias)
        adam = torch.optim.AdamW(
            [*net.parameters(), *top.parameters()], s.learning_rate, weight_decay=s.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, s.steps)
        state: dict[str, gvr.Stateful] = {
            "encoder": net,
            "top": top,
            "optimiser": adam,
            "schedule": schedule,
        }
        shift = round(s.shift * images[labelled[:1]].shape[-1])
        for step in ctx.loop(s.steps, state, batch=s.batch, images=len(labelled)):
            rng = ctx.rng(step)
            draw = torch.randint(len(labelled), (s.batch,), generator=rng)
            index = labelled[draw.to(labelled.device)]
            x = gvr.translate(images[index], shift, rng)
            with ctx.autocast():
                outputs = top(net(x)).float()
            loss = gvr.task_loss(outputs, images.targets[index], images.task)
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                ctx.log(loss=loss.item())
            if step % max(1, s.steps // 50) == 0 or step + 1 == s.steps:
                ctx.log(loss=loss.item())
