"""Refuses models that cannot work before anything is computed."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from gvr_bench.core.components import Dataset, Encoder, Generator, Head
from gvr_bench.core.errors import DataError, GvrError, UsageError, one_line
from gvr_bench.core.types import ImageSpec, Task
from gvr_bench.pipeline.plan import Combination

TRIAL_BATCHES = (3, 1)  # sizes that a head is tried on


def refuse_misfits(combination: Combination) -> None:
    """Build the networks, try a head that sees images, and drop them.

    Raises `UsageError` or `DataError`.
    """
    dataset = cast(Dataset, combination.data.component)
    head = cast(Head, combination.head_stage.component)
    with torch.random.fork_rng(devices=[]):
        net = build_head(combination, dataset, head)
        if net is not None and head.sees == "images":
            whose = f"head '{combination.head_stage.name}'"
            refuse_unfit(net, whose, dataset.image, dataset.task)


def build_head(combination: Combination, dataset: Dataset, head: Head) -> nn.Module | None:
    """Build generator, encoder and head; None where one raises what is no fault of the user."""
    try:
        latent_dim = 0
        if combination.latents is not None:
            generator = cast(Generator, combination.latents.input("generator").component)
            encoder = cast(Encoder, combination.latents.input("encoder").component)
            decoder = generator.build(dataset.image)
            encoder.build(dataset.image, decoder)
            latent_dim = cast(int, decoder.latent_dim)
        head.threshold(dataset.task)
        return head.build(latent_dim, dataset.task)
    except (DataError, UsageError):
        raise
    except Exception:  # of a plugin: its stage will fail with this error, and the others go on
        return None


def refuse_unfit(net: nn.Module, whose: str, image: ImageSpec, task: Task) -> None:
    """Try a network of images on noise. Raises `UsageError` where no explainer could use it."""
    for n in TRIAL_BATCHES:
        x = torch.rand(n, image.channels, image.size, image.size) * 2 - 1
        try:
            outputs = net.eval()(x.requires_grad_())
        except GvrError:
            raise
        except Exception as error:  # somebody's network may raise anything
            raise UsageError(
                f"{whose} cannot take {n} images of {image}: {one_line(error)}"
            ) from error
        expected = (n, len(task.outputs))
        if tuple(outputs.shape) != expected:
            raise UsageError(
                f"{whose} gives outputs of shape {tuple(outputs.shape)} for {n} images of {image}, "
                f"not {expected}"
            )
        if not outputs.requires_grad:
            raise UsageError(
                f"{whose} lets no gradient through to its images, which explainers need; take "
                "torch.no_grad, detach and argmax out of its forward"
            )
