"""Rules for layers, applied to whatever functions a network calls.

Hooks on modules miss activations that are called as functions, and captum's know few kinds: what
they miss gets the plain gradient without a word. Here every call is seen, and one without a rule
makes the method unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

import gvr_bench.api as gvr
from gvr_explainers.batching import batches, max_batch_size

Function = Callable[..., Any]
MONOTONE = frozenset(
    ["relu", "relu6", "selu", "elu", "celu", "leaky_relu", "hardtanh", "tanh", "softplus",
     "sigmoid", "softsign"]
)  # fmt: skip
LINEAR = frozenset(["linear", "conv1d", "conv2d", "conv3d"])
PASSED = frozenset(  # linear in what depends on the image, or no more than another shape of it
    ["batch_norm", "avg_pool2d", "adaptive_avg_pool2d", "flatten", "view", "reshape", "permute",
     "transpose", "squeeze", "unsqueeze", "contiguous", "clone", "cat", "stack", "mean", "sum",
     "dropout", "dropout2d", "pad", "interpolate", "add", "add_", "radd", "sub", "rsub", "neg",
     "getitem", "to", "float", "expand", "unflatten", "chunk", "split", "gather"]
)  # fmt: skip
SCALED = frozenset(["mul", "mul_", "rmul", "div", "truediv"])  # linear if by a constant
PLACES = (2, 3)  # a maximum over them pools whole maps
QUERIES = frozenset(  # they compute nothing
    ["get", "dim", "size", "len", "numel", "stride", "is_floating_point", "is_contiguous",
     "register_hook", "detach"]
)  # fmt: skip


def replaced_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    """Return `value` with the gradient of `surrogate`."""
    return value.detach() + surrogate - surrogate.detach()


class Propagation(TorchFunctionMode):
    """Replaces the gradient of a network's layers while the network is called within.

    Raises `Unsupported`, naming `method`, for a function without a rule.
    """

    method: str
    activations = MONOTONE

    def __init__(self) -> None:
        super().__init__()
        self.activation_count = 0

    def outputs(self, model: gvr.Model, images: Tensor) -> Tensor:
        """Predict images (N, C, H, W): (N, K)."""
        return model(images)

    def gradient(self, model: gvr.Model, x: Tensor, target: gvr.ExplanationTarget) -> Tensor:
        """Return the gradient of the source output under these rules: (N, C, H, W).

        Raises `Unsupported` where no activation is seen: the rules would change nothing.
        """
        parts: list[Tensor] = []
        for part in batches(len(x), max(1, max_batch_size(x, gradients=True) // 2)):
            images = x[part].detach().clone().requires_grad_()
            with torch.enable_grad(), self:
                outputs = self.outputs(model, images)
            if not self.activation_count:
                raise gvr.Unsupported(
                    f"{self.method} sees no activation in this network, so it is the plain gradient"
                )
            parts += torch.autograd.grad(target[part].source_output(outputs).sum(), images)
        return torch.cat(parts)

    def activation(self, function: Function, x: Tensor) -> Tensor:
        """Return `function(x)` with the gradient of this method's rule."""
        raise NotImplementedError

    def layer(
        self,
        function: Function,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Return a linear layer's output, by default with its own gradient."""
        result: Tensor = function(x, weight, bias, *args, **kwargs)
        return result

    def pool(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return the maxima of windows, by default with their own gradient."""
        return function(x, *args, **kwargs)

    def __torch_function__(
        self, function: Function, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Apply the rule of a function that is called."""
        kwargs, name = dict(kwargs or {}), function.__name__
        name = name.strip("_") if name.startswith("__") else name
        changing = [t for t in tensors((args, kwargs)) if t.requires_grad]
        if not changing or name in PASSED | QUERIES or (name in SCALED and len(changing) == 1):
            return function(*args, **kwargs)
        x, *rest = args if args else (kwargs.pop("input"),)
        if name in self.activations:
            self.activation_count += 1
            return self.activation(lambda z: function(z.clone(), *rest, **kwargs), x)
        if name in LINEAR:
            return self.layer(function, x, *rest, **kwargs)
        if name == "max_pool2d":
            return self.pool(function, x, *rest, **kwargs)
        if name == "amax" and rest == [PLACES] and not kwargs:
            return self.pool(F.max_pool2d, x, x.shape[2:]).flatten(1)
        raise gvr.Unsupported(f"{self.method} has no rule for {name}, which this network calls")


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)
