"""SELU by the exponential gives what torch's does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import gvr_bench.api as gvr

EDGES = [-torch.inf, -1e9, -20.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 1e9, torch.inf, torch.nan]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_are_those_of_torch(dtype: torch.dtype) -> None:
    x = torch.cat([torch.tensor(EDGES), torch.randn(1000)]).to(dtype)
    expected = torch.selu(x)
    assert gvr.selu(x).dtype == dtype
    torch.testing.assert_close(gvr.selu(x), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slopes_are_those_of_torch(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, 8, 8).to(dtype).to(memory_format=torch.channels_last).requires_grad_()
    (expected,) = torch.autograd.grad(torch.selu(x).float().square().sum(), x)
    (slope,) = torch.autograd.grad(gvr.selu(x).float().square().sum(), x)
    assert slope.dtype == dtype
    torch.testing.assert_close(slope, expected)


def test_it_can_be_differentiated_twice() -> None:
    x = torch.randn(30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(gvr.selu, (x,))


def test_rules_for_functions_see_it() -> None:
    seen: list[str] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return gvr.selu(x)

    with Watch():
        Layer()(torch.ones(2))
    assert seen == ["ones", "selu"]
