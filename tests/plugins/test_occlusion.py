from __future__ import annotations

import pydantic
import pytest
import torch
from captum.attr import Occlusion as Captum
from gvr_explainers import batching
from gvr_explainers.occlusion import Occlusion, spans
from small_parts import context
from test_explainers import TASKS, linear_model, make_images, make_model, make_query
from torch import Tensor

import gvr_bench.api as gvr


def explain(model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASKS["multilabel"])
    return (
        Occlusion(Occlusion.Settings(**settings)).explain(model, x, target, context()).attribution
    )


def test_too_large_window_is_refused():
    with pytest.raises(gvr.UsageError, match=r"window 17 .* 16 pixels; type .*window=4,stride=2"):
        explain(make_model(2), make_images(), window=17, stride=1)


def test_stride_beyond_window_is_refused():
    with pytest.raises(pydantic.ValidationError, match="stride 5 is larger than window 4"):
        Occlusion.Settings(window=4, stride=5)


def test_last_window_reaches_border():
    hidden = spans(side=8, window=4, stride=3)
    assert hidden.sum(1).tolist() == [4, 4, 2]  # the third starts at 6
    assert hidden.any(0).all()


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 3), (16, 16), (1, 1)])
def test_map_equals_captum(window, stride):
    model, x = make_model(2), make_images()
    shape = (3, window, window)
    theirs = Captum(model).attribute(x, shape, (3, stride, stride), baselines=0.25, target=0)
    ours = explain(model, x, window=window, stride=stride, replacement=0.25)
    torch.testing.assert_close(ours, theirs.mean(dim=1), rtol=0, atol=1e-5)


def test_map_is_positive_at_important_spot():
    x = torch.full((1, 2, 1, 2), 0.5)
    asked = torch.zeros(1, dtype=torch.int64)
    target = gvr.ExplanationTarget(TASKS["binary"], asked, asked, asked.float(), asked.float())
    explainer = Occlusion(Occlusion.Settings(window=1, stride=1))
    made = explainer.explain(linear_model([2.0, 0.0, 0.0, -4.0]), x, target, context())
    torch.testing.assert_close(made.attribution, torch.tensor([[[1.0, -2.0]]]))


def test_batch_size_changes_only_rounding(monkeypatch):
    model, x = make_model(2), make_images()
    whole = explain(model, x)
    monkeypatch.setattr(batching, "CPU_BUDGET", 7 * 4 * x[0].numel() * batching.FACTOR)
    assert batching.max_batch_size(x) == 7
    torch.testing.assert_close(explain(model, x), whole, rtol=0, atol=1e-6)
