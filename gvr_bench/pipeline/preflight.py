"""What cannot end well is refused before anything is computed."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from gvr_bench.core.components import Dataset, Encoder, Generator, Head
from gvr_bench.core.errors import DataError, GvrError, UsageError, one_line
from gvr_bench.core.types import ImageSpec, Task
from gvr_bench.pipeline.plan import Combination

SIZES = (3, 1)  # of the batches a head is tried on


def refuse_misfits(combination: Combination) -> None:
    """Build the networks, try a head that sees images, and drop them.

    Raises `UsageError` or `DataError`.
    """
    dataset = cast(Dataset, combination.data.component)
    image, task = dataset.image, dataset.task
    try:
        with torch.random.fork_rng(devices=[]):
            generator = cast(Generator, combination.generator_stage.component).build(image)
            cast(Encoder, combination.encoder_stage.component).build(image, generator)
            head = cast(Head, combination.head_stage.component)
            net = head.build(cast(int, generator.latent_dim), task)
            if head.sees == "images":
                refuse_unfit(net, f"head '{combination.head_stage.name}'", image, task)
    except (DataError, UsageError):
        raise
    except Exception:
        return  # a broken plugin is the outcome of its stage


def refuse_unfit(net: nn.Module, whose: str, image: ImageSpec, task: Task) -> None:
    """Try a network of images on noise. Raises `UsageError` where no explainer could use it."""
    for n in SIZES:
        x = torch.rand(n, image.channels, image.size, image.size) * 2 - 1
        try:
            outputs = net.eval()(x.requires_grad_())
        except GvrError:
            raise
        except Exception as error:  # somebody's network may raise anything
            raise UsageError(
                f"{whose} cannot take {n} images of {image}: {one_line(error)}"
            ) from error
        wanted = (n, len(task.outputs))
        if tuple(outputs.shape) != wanted:
            raise UsageError(
                f"{whose} gives outputs of shape {tuple(outputs.shape)} for {n} images of {image}, "
                f"not {wanted}"
            )
        if not outputs.requires_grad:
            raise UsageError(
                f"{whose} lets no gradient through to its images, which explainers need; take "
                "torch.no_grad, detach and argmax out of its forward"
            )
