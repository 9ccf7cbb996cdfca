"""Refuses models that cannot work before anything is computed."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from gvr_bench.core.components import Dataset, Encoder, Generator, Head
from gvr_bench.core.errors import DataError, GvrError, UsageError, one_line
from gvr_bench.core.types import ImageSpec, Task
from gvr_bench.pipeline.plan import Combination

TRIAL_IMAGES = 3  # tried together, again, and one by one
LARGE = 1024  # a power of two, by which weights are divided again without rounding
AGREEMENT = 1e-3  # of two answers to one image, relative to the largest


def refuse_misfits(combination: Combination) -> None:
    """Build the networks, try one that sees images. Raises `UsageError` or `DataError`."""
    dataset = cast(Dataset, combination.data.component)
    head = cast(Head, combination.head_stage.component)
    with torch.random.fork_rng(devices=[]):
        net = build_head(combination, dataset, head)
        if net is not None and head.sees == "images":
            refuse_unfit_head(head, net, combination.head_stage.name, dataset.image, dataset.task)


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


def refuse_unfit_head(
    head: Head, net: nn.Module, name: str, image: ImageSpec, task: Task
) -> Tensor:
    """Try a head that sees images; return its outputs for noise (n, K). Raises `UsageError`."""
    outputs = refuse_unfit(net, f"head '{name}'", image, task)
    head.check_outputs(torch.cat([outputs, with_large_weights(net, image)]), task)
    return outputs


def with_large_weights(net: nn.Module, image: ImageSpec) -> Tensor:
    """Return outputs for noise (n, K) with the last layer's parameters far larger.

    Then logits are far from 0, and probabilities stay between 0 and 1.
    """
    last = list(net.parameters())[-2:]
    with torch.no_grad():
        for parameter in last:
            parameter.mul_(LARGE)
        try:
            return cast(Tensor, net(noise(image)))
        finally:
            for parameter in last:
                parameter.div_(LARGE)


def noise(image: ImageSpec) -> Tensor:
    """Return images of noise in the layout in which a network gets images."""
    x = torch.rand(TRIAL_IMAGES, image.channels, image.size, image.size) * 2 - 1
    return x.contiguous(memory_format=torch.channels_last)


def refuse_unfit(net: nn.Module, whose: str, image: ImageSpec, task: Task) -> Tensor:
    """Try a network of images on noise, in the layout in which it will get images.

    Returns its outputs (n, K). Raises `UsageError` where it takes no such images, gives outputs of
    another shape, answers differently when it is asked again or alone, changes its own state, or
    lets no gradient through.
    """
    net.eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    x, before = noise(image), torch.get_rng_state()
    together = answer(net, x, whose, image, task)
    draws = not torch.equal(torch.get_rng_state(), before)
    changed = [name for name, value in net.state_dict().items() if not same(value, state[name])]
    if changed:
        raise UsageError(
            f"{whose} changes its own {changed[0]} when it predicts, so that no two predictions "
            "are alike; update buffers in training only: if self.training"
        )
    again = same(answer(net, x, whose, image, task), together)
    alone = torch.cat([answer(net, x[i : i + 1], whose, image, task) for i in range(TRIAL_IMAGES)])
    alike = same(alone, together)
    if not again or (draws and not alike):  # two random answers may be alike
        raise UsageError(
            f"{whose} answers differently when it gets the same images again; something draws "
            "random numbers, such as F.dropout without training=self.training"
        )
    if not alike:
        raise UsageError(
            f"{whose} answers differently to an image alone and among others; batch statistics "
            "stay on in eval mode: give BatchNorm track_running_stats=True, with its statistics"
        )
    return together


def same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not b.numel():
        return a.shape == b.shape
    first, second = a.double(), b.double()
    scale = second.abs().max().clamp_min(1e-6)
    return bool(torch.allclose(first / scale, second / scale, 0, AGREEMENT, equal_nan=True))


def answer(net: nn.Module, x: Tensor, whose: str, image: ImageSpec, task: Task) -> Tensor:
    """Return outputs (n, K) for images (n, C, H, W). Raises `UsageError` if they are of no use."""
    n = len(x)
    images = x.detach().requires_grad_()
    try:
        outputs = net(images)
    except GvrError:
        raise
    except Exception as error:  # somebody's network may raise anything
        hint = "; write reshape for view" if "view size is not compatible" in str(error) else ""
        raise UsageError(
            f"{whose} cannot take {n} images of {image}: {one_line(error)}{hint}"
        ) from error
    expected = (n, len(task.outputs))
    if tuple(outputs.shape) != expected:
        raise UsageError(
            f"{whose} gives outputs of shape {tuple(outputs.shape)} for {n} images of {image}, "
            f"not {expected}"
        )
    try:
        (slope,) = torch.autograd.grad(outputs.sum(), images, allow_unused=True)
    except RuntimeError:
        slope = None
    if slope is None:
        raise UsageError(
            f"{whose} lets no gradient through to its images, which explainers need; take "
            "torch.no_grad, detach and argmax out of its forward"
        )
    return cast(Tensor, outputs.detach())
