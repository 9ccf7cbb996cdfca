from __future__ import annotations

import warnings

import pytest
import torch
from gvr_explainers import batching
from gvr_explainers.integrated_gradients import IntegratedGradients
from small_parts import context
from test_explainers import TASKS, linear_model, make_images, make_model, make_query
from torch import Tensor

import gvr_bench.api as gvr


def explain(model: gvr.Model, x: Tensor, **settings: object) -> Tensor:
    target = make_query(model, x, TASKS["multilabel"])
    explainer = IntegratedGradients(IntegratedGradients.Settings(**settings))
    return explainer.explain(model, x, target, context()).attribution


@pytest.mark.parametrize(
    ("baseline", "expected"), [("black", [[-4.5, -3.0]]), ("grey", [[-1.5, -1.0]])]
)
def test_linear_model_map_is_exact(baseline, expected):
    x = torch.full((2, 2, 1, 2), 0.5)
    asked = torch.zeros(2, dtype=torch.int64)
    target = gvr.ExplanationTarget(TASKS["binary"], asked, asked, asked.float(), asked.float())
    explainer = IntegratedGradients(IntegratedGradients.Settings(baseline=baseline))
    made = explainer.explain(linear_model([1.0, 2.0, -4.0, -4.0]), x, target, context())
    torch.testing.assert_close(made.attribution, torch.tensor([expected, expected]))


def test_map_sums_to_output_difference():
    model, x = make_model(2), make_images()
    with torch.no_grad():
        gain = model(x)[:, 0] - model(torch.full_like(x, -1.0))[:, 0]
    assert gain.abs().min() > 0.01
    torch.testing.assert_close(
        explain(model, x, steps=400).sum(dim=(1, 2)), gain, rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("at_once", [1, 2, 17])
def test_batch_size_changes_only_rounding(monkeypatch, at_once):
    model, x = make_model(2), make_images()
    whole = explain(model, x)
    monkeypatch.setattr(batching, "CPU_BUDGET", at_once * 8 * x[0].numel() * batching.FACTOR)
    assert batching.max_batch_size(x, gradients=True) == at_once
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(explain(model, x), whole, rtol=0, atol=1e-6)
