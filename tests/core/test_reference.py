"""The training images that explainers see: which, by whom computed, and that they cannot change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gvr_bench.api as gvr
from gvr_bench.core import reference as module
from gvr_bench.core.reference import Reference, spread
from gvr_bench.core.types import Model, Task

BINARY = Task("binary", ("mass",))
MULTILABEL = Task("multilabel", ("a", "b"))


@pytest.fixture
def known() -> Reference:
    """Three images of 1 x 1 x 3; latents are the pixels, the output is the sum of two of them."""
    pixels = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    images, targets = pixels[:, None, None], np.asarray([[1], [0], [np.nan]], np.float32)
    head = nn.Linear(3, 1, bias=False).requires_grad_(False)
    head.weight.copy_(torch.tensor([[1.0, 1.0, 0.0]]))
    model = Model(nn.Flatten(), nn.Identity(), head)
    return Reference(model, BINARY, targets, lambda i: images[i], batch_size=2)


def test_latents_and_outputs_of_the_model(known: Reference) -> None:
    torch.testing.assert_close(known.latents[1], torch.tensor([0.4, 0.5, 0.6]))
    torch.testing.assert_close(known.outputs, torch.tensor([[0.3], [0.9], [1.5]]))
    assert len(known) == 3


def test_changes_do_not_last(known: Reference) -> None:
    known.latents.zero_()
    known.outputs.zero_()
    known.targets[:] = 0
    known.images(torch.tensor([0, 1, 2])).zero_()
    assert known.latents[2, 2] == pytest.approx(0.9)
    assert known.outputs.all()
    assert np.isnan(known.targets[2])
    assert known.images(torch.tensor([1]))[0, 0, 0, 0] == pytest.approx(0.4)
    for name in ("latents", "outputs", "targets"):
        with pytest.raises(AttributeError):
            setattr(known, name, None)


def test_undeclared_use_is_refused() -> None:
    with pytest.raises(gvr.PluginError, match="write uses_reference = True"):
        _ = gvr.Context(torch.device("cpu")).reference


def test_rare_side_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 10)
    targets = np.zeros((1000, 1), np.float32)
    targets[[7, 500, 999]] = 1
    rows = spread(targets, BINARY)
    assert rows.tolist() == [0, 7, 200, 399, 500, 600, 799, 999]
    assert np.array_equal(rows, spread(targets, BINARY))


def test_every_output_has_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 8)
    targets = np.zeros((100, 2), np.float32)
    targets[:50, 0], targets[98:, 1] = 1, 1
    rows = spread(targets, MULTILABEL)
    assert len(rows) <= 8
    assert {98, 99} <= set(rows)
    assert (rows < 50).sum() >= 2


def test_unlabelled_images_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 4)
    targets = np.full((100, 1), np.nan, np.float32)
    assert spread(targets, BINARY).tolist() == [0, 25, 50, 75]
    assert spread(targets[:3], BINARY).tolist() == [0, 1, 2]
