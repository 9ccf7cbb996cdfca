"""What an explainer must return and must not change: checked in a run and by
`gvr_bench.testing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from gvr_bench.core.types import Explanation, ExplanationTarget, Model

DTYPES = {
    "attribution": torch.float32,
    "counterfactual": torch.float32,
    "latent": torch.float32,
    "trajectory": torch.float32,
    "steps": torch.int64,
    "success": torch.bool,
    "alternatives": torch.float32,
}
SHAPE_FIXES = {
    "attribution": "return one map per image, e.g. attribution.sum(dim=1) over the channels",
    "counterfactual": "return one image per image of x",
    "latent": "return one latent per image, (N, D)",
    "trajectory": "return (N, P, D): P latents per image, the last of which is `latent`",
    "steps": "return one number per image",
    "success": "return one truth value per image",
    "alternatives": "return (N, K, C, H, W): K more images per image of x",
}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
NETWORKS = ("encoder", "generator", "head")
TARGET_TENSORS = ("source_class", "target_class", "threshold", "reference_value")
MUTATIONS = {  # check: what happened, and how to avoid it
    "weights": ("changed the weights {}", "work on a copy, e.g. copy.deepcopy(model.encoder)"),
    "mode": (
        "switched train or eval mode of {}",
        "leave networks in eval mode, or work on a copy, e.g. copy.deepcopy(model.encoder).train()",
    ),
    "gradients": (
        "left a gradient in {}, or switched its requires_grad",
        "use torch.autograd.grad(outputs.sum(), x), which leaves no gradients",
    ),
    "hooks": ("added a hook to {}, or removed one", "remove each handle in a finally block"),
    "input": ("changed {} in place", "begin with x = x.detach().clone()"),
}


@dataclass(frozen=True)
class Violation:
    """A failed check: what the component did, and what its author should do instead."""

    check: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}"


def explanation_violations(explanation: object, x: Tensor) -> Iterator[Violation]:
    """Check what was returned for images `x` (N, C, H, W), the most serious first."""
    if not isinstance(explanation, Explanation):
        problem = f"returned {type(explanation).__name__}, not an Explanation"
        yield Violation(
            "returns", problem, "end with: return gvr.Explanation(attribution=attribution)"
        )
        return
    values = {f.name: getattr(explanation, f.name) for f in fields(explanation)}
    tensors = {name: values[name] for name in DTYPES if values[name] is not None}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            problem = f"{name} is {type(value).__name__}, not a tensor"
            yield Violation("dtype", problem, f"use torch.as_tensor({name}, device=x.device)")
            return
    yield from _shape_violations(explanation, tensors, x)
    for name, value in tensors.items():
        if value.dtype != DTYPES[name]:
            problem = f"{name} is {_name(value.dtype)}, not {_name(DTYPES[name])}"
            yield Violation("dtype", problem, f"end with {name}.to(torch.{_name(DTYPES[name])})")
        if value.device != x.device:
            problem = f"{name} is on {value.device}, the images are on {x.device}"
            yield Violation("device", problem, f"end with {name}.to(x.device)")
        elif value.is_floating_point() and not bool(value.isfinite().all()):
            fix = "look for a division by zero or the logarithm of zero"
            yield Violation("finite", f"{name} contains NaN or infinity", fix)
    yield from _field_violations(explanation)


def _shape_violations(
    explanation: Explanation, tensors: dict[str, Tensor], x: Tensor
) -> Iterator[Violation]:
    n, _, h, w = x.shape
    latent, trajectory = explanation.latent, explanation.trajectory
    expected: dict[str, tuple[int, ...]] = {
        "attribution": (n, h, w),
        "counterfactual": tuple(x.shape),
        "steps": (n,),
        "success": (n,),
    }
    if latent is not None:
        expected["latent"] = (n, *latent.shape[-1:])
        if trajectory is not None:
            expected["trajectory"] = (n, *trajectory.shape[1:2], *latent.shape[-1:])
    if explanation.alternatives is not None:
        expected["alternatives"] = (n, *explanation.alternatives.shape[1:2], *x.shape[1:])
    for name, value in tensors.items():
        shape = expected.get(name)
        if shape is not None and tuple(value.shape) != shape:
            problem = f"{name} has shape {tuple(value.shape)}, not {shape}"
            yield Violation("shape", problem, SHAPE_FIXES[name])
    if explanation.reason is not None and len(explanation.reason) != n:
        problem = f"reason has {len(explanation.reason)} texts for {n} images"
        yield Violation("shape", problem, "return one text per image, empty on success")


def _field_violations(explanation: Explanation) -> Iterator[Violation]:
    rest = ("success", "latent", "trajectory", "alternatives")
    extra = [name for name in rest if getattr(explanation, name) is not None]
    if explanation.counterfactual is None and extra:
        problem = f"{extra[0]} is set and counterfactual is not"
        yield Violation("consistent", problem, "set both or neither")
    if explanation.trajectory is not None and explanation.latent is None:
        problem = "trajectory is set and latent is not"
        yield Violation("consistent", problem, "set latent to the end of the trajectory")
    if explanation.reason is None:
        return
    if explanation.success is None:
        yield Violation("consistent", "reason is set and success is not", "set both or neither")
    elif [not text for text in explanation.reason] != explanation.success.tolist():
        problem = "reason is empty for a failure, or set for a success"
        yield Violation("consistent", problem, "give a reason for each failure, '' for a success")


class MutationGuard:
    """Detects changes to the model and the arguments of an explainer, without copying them.

    Changes of values through `.data` go unnoticed; `gvr_bench.testing` compares those as well.
    """

    def __init__(self, model: Model, x: Tensor, target: ExplanationTarget) -> None:
        self.model = model
        self.arguments = {"x": x} | {
            f"target.{name}": getattr(target, name) for name in TARGET_TENSORS
        }
        self.before = self._snapshot()

    def _snapshot(self) -> dict[str, dict[str, Any]]:
        nets = [(part, getattr(self.model, part)) for part in NETWORKS]
        modules = [(f"{p}.{n}" if n else p, m) for p, net in nets for n, m in net.named_modules()]
        weights = [
            (f"{part}.{name}", tensor)
            for part, net in nets
            for name, tensor in chain(net.named_parameters(), net.named_buffers())
        ]
        return {
            "weights": {name: (_Identity(tensor), tensor._version) for name, tensor in weights},
            "mode": {name: module.training for name, module in modules},
            "gradients": {n: (t.requires_grad, t.grad is None) for n, t in weights if t.is_leaf},
            "hooks": {n: [*chain(*(getattr(m, kind) for kind in HOOKS))] for n, m in modules},
            "input": {name: (t._version, t.requires_grad) for name, t in self.arguments.items()},
        }

    def violations(self) -> Iterator[Violation]:
        for check, after in self._snapshot().items():
            before = self.before[check]
            changed = [name for name in after if after[name] != before.get(name)]
            if changed or len(after) != len(before):
                more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
                problem, fix = MUTATIONS[check]
                name = changed[0] if changed else "the model"
                yield Violation(check, f"{problem.format(name)}{more}", fix)


class _Identity:
    """Equal only for the same tensor object."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.tensor is other.tensor

    __hash__ = None  # type: ignore[assignment]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
