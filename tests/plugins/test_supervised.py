"""The encoder that learns from labels alone."""

from __future__ import annotations

import pytest
import torch
from gvr_encoders.supervised import Supervised
from small_parts import Painter, Rack, context, same, seeded, weights
from torch import nn

import gvr_bench.api as gvr

SPEC = gvr.ImageSpec(1, 16)


def bright_and_dark(labelled: int = 64) -> Rack:
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(64) % 2
    pixels = torch.rand(64, 1, 16, 16, generator=rng) * 0.2 + label.view(-1, 1, 1, 1) - 0.6
    targets = label.float()[:, None].clone()
    targets[labelled:] = torch.nan
    return Rack(pixels, targets=targets)


def fitted(images: Rack, steps: int = 60) -> tuple[nn.Module, gvr.Context]:
    encoder, ctx = Supervised(Supervised.Settings(width=4, steps=steps, batch=8)), context()
    net = seeded(lambda: encoder.build(SPEC, Painter()), 0)
    encoder.fit(net, Painter(), images, ctx)
    return net, ctx


def test_missing_labels_are_reported() -> None:
    with pytest.raises(gvr.DataError, match="'supervised' needs labelled images"):
        fitted(bright_and_dark(labelled=0))


def test_labels_are_learnt() -> None:
    images = bright_and_dark()
    net, ctx = fitted(images, 200)
    assert ctx.history[-1]["loss"] < 0.2 * ctx.history[0]["loss"]
    z = net(images.pixels).detach()
    centres = z[0::2].mean(0), z[1::2].mean(0)
    nearer_bright = (z - centres[1]).norm(dim=1) < (z - centres[0]).norm(dim=1)
    assert nearer_bright.tolist() == [bool(i % 2) for i in range(64)]


def test_unlabelled_images_change_nothing() -> None:
    some = bright_and_dark(labelled=20)
    fewer = Rack(some.pixels[:20], targets=some.targets[:20])
    assert same(weights(fitted(some, 5)[0]), weights(fitted(fewer, 5)[0]))
