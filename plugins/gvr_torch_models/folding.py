"""A network with batch normalisation folded into the convolutions before it.

Normalisation takes a third to a half of the time of a small network, with gradients or without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.overrides import _get_current_function_mode

TOLERANCE = 1e-4  # of outputs, relative or absolute, beyond which it is no rounding
SLOPE_TOLERANCE = 1e-2  # of gradients, as a share of their length: rounding switches a few ReLUs
HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"


class Folding:
    """Keeps a copy of a network whose convolutions have taken up the normalisation behind them."""

    def __init__(self) -> None:
        self.state: tuple[tuple[int, int], ...] = ()  # of the weights that the copy is made of
        self.copy: nn.Module | None = None

    def of(self, net: nn.Module, x: Tensor) -> nn.Module:
        """Return the copy for inputs (N, ...), or the network itself where there is none.

        That is where somebody watches its layers or trains them, where tracing fails because a path
        depends on the input, and where outputs or gradients for the first two of `x` differ by more
        than rounding.
        """
        if not foldable(net):
            return net
        state = tuple((p.data_ptr(), p._version) for p in (*net.parameters(), *net.buffers()))
        if state != self.state:
            self.state, self.copy = state, folded(net, x[:2])
        return self.copy or net


def foldable(net: nn.Module) -> bool:
    """Whether a network has batch normalisation, is frozen, and nobody watches what it calls."""
    if _get_current_function_mode() is not None:  # as methods with rules for layers have
        return False
    if torch.is_grad_enabled() and any(p.requires_grad for p in net.parameters()):
        return False
    modules = list(net.modules())
    hooked = any(getattr(module, hooks) for module in modules for hooks in HOOKS)
    return not hooked and any(isinstance(module, nn.BatchNorm2d) for module in modules)


def folded(net: nn.Module, x: Tensor) -> nn.Module | None:
    """Return a folded copy of a network; None where it computes something else, or has no trace."""
    try:
        copy = overwriting(maximum_first(fuse(net))).requires_grad_(False)
        with torch.no_grad():
            torch.testing.assert_close(copy(x), net(x), rtol=TOLERANCE, atol=TOLERANCE)
        mine, theirs = slope(copy, x), slope(net, x)
        if (mine - theirs).norm() > SLOPE_TOLERANCE * theirs.norm() + TOLERANCE:
            return None
    except Exception:  # a user's code may raise anything
        return None
    return copy


@torch.enable_grad()
def slope(net: nn.Module, x: Tensor) -> Tensor:
    """Return the gradient of the sum of squared outputs by the input, of its shape."""
    x = x.detach().clone().requires_grad_()
    total = sum(output.float().square().sum() for output in tensors(net(x)))
    (gradient,) = torch.autograd.grad(total, x)  # type: ignore[arg-type]
    return gradient


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested outputs."""
    if isinstance(value, Tensor):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


def maximum_first(net: fx.GraphModule) -> fx.GraphModule:
    """Pool maxima before the ReLU that they are of, where nothing else reads it.

    The result is the same, and the ReLU has a fraction of the pixels left.
    """
    modules = dict(net.named_modules())
    for node in net.graph.nodes:
        relu = node.args[0] if is_maximum(node, modules) else None
        if relu is not None and is_relu(relu, modules) and len(relu.users) == 1:
            node.op, relu.op = relu.op, node.op
            node.target, relu.target = relu.target, node.target
            node.kwargs, relu.kwargs = relu.kwargs, node.kwargs
            node.args, relu.args = (relu, *relu.args[1:]), (relu.args[0], *node.args[1:])
    net.recompile()
    return net


def is_maximum(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node pools maxima, and nothing but them."""
    if node.op == "call_function":
        return node.target in (torch.max_pool2d, F.max_pool2d)
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, nn.MaxPool2d) and not module.return_indices


def is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node is a ReLU, as a module or a function."""
    if node.op == "call_function":
        return node.target in (F.relu, torch.relu)
    return node.op == "call_module" and isinstance(modules[str(node.target)], nn.ReLU)


def overwriting(net: fx.GraphModule) -> fx.GraphModule:
    """Let each ReLU of a convolution, or of its maxima, which nothing else reads, write over it.

    New memory for each takes a fifth of the time of a small network.
    """
    modules = dict(net.named_modules())
    for node in net.graph.nodes:
        if not is_relu(node, modules) or len(node.args[0].users) > 1:
            continue
        before = node.args[0]
        convolved = before.op == "call_module" and isinstance(modules[before.target], nn.Conv2d)
        if convolved or is_maximum(before, modules):
            node.op, node.target, node.kwargs = "call_function", F.relu, {"inplace": True}
    net.recompile()
    return net
