"""What an explainer returns, and what it leaves alone: for a run and for `gvr_bench.testing`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from gvr_bench.core.types import Explanation, ExplanationTarget, Model

DTYPES = {
    "attribution": torch.float32,
    "counterfactual": torch.float32,
    "latent": torch.float32,
    "trajectory": torch.float32,
    "steps": torch.int64,
    "success": torch.bool,
}
SHAPED = {
    "attribution": "give one map per image, e.g. attribution.sum(dim=1) over the channels",
    "counterfactual": "give one image per image of x",
    "latent": "give one latent per image, (N, D)",
    "trajectory": "give (N, P, D): P latents per image, with a latent to end at",
    "steps": "give one number per image",
    "success": "give one truth value per image",
}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PARTS = ("encoder", "generator", "head")


@dataclass(frozen=True)
class Violation:
    """A rule that is broken: what was done, and what the author should do instead."""

    rule: str
    what: str
    fix: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.what}; {self.fix}"


def answer_breaches(made: object, x: Tensor) -> Iterator[Violation]:
    """Say what is wrong with the answer for images `x` (N, C, H, W), the gravest first."""
    if not isinstance(made, Explanation):
        what = f"returned {type(made).__name__}, not an Explanation"
        yield Violation("answer", what, "end with: return gvr.Explanation(attribution=attribution)")
        return
    given = {f.name: getattr(made, f.name) for f in fields(made)}
    tensors = {name: given[name] for name in DTYPES if given[name] is not None}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            what = f"{name} is {type(value).__name__}, not a tensor"
            yield Violation("dtype", what, f"e.g. torch.as_tensor({name}, device=x.device)")
            return
    yield from _shape_breaches(made, tensors, x)
    for name, value in tensors.items():
        if value.dtype != DTYPES[name]:
            what = f"{name} is {_word(value.dtype)}, not {_word(DTYPES[name])}"
            yield Violation("dtype", what, f"end with {name}.to(torch.{_word(DTYPES[name])})")
        if value.device != x.device:
            what = f"{name} is on {value.device}, and the images are on {x.device}"
            yield Violation("device", what, f"end with {name}.to(x.device)")
        elif value.is_floating_point() and not bool(value.isfinite().all()):
            mend = "look for a division by zero, or the logarithm of nothing"
            yield Violation("finite", f"{name} holds NaN or infinity", mend)
    yield from _word_breaches(made)


def _shape_breaches(
    made: Explanation, tensors: dict[str, Tensor], x: Tensor
) -> Iterator[Violation]:
    """Compare each shape with that of the images."""
    n, _, h, w = x.shape
    wanted: dict[str, tuple[int, ...]] = {
        "attribution": (n, h, w),
        "counterfactual": tuple(x.shape),
        "steps": (n,),
        "success": (n,),
    }
    if made.latent is not None:
        wanted["latent"] = (n, *made.latent.shape[-1:])
    if made.trajectory is not None and made.latent is not None:
        wanted["trajectory"] = (n, *made.trajectory.shape[1:2], *made.latent.shape[-1:])
    for name, value in tensors.items():
        shape = wanted.get(name)
        if shape is not None and tuple(value.shape) != shape:
            what = f"{name} has shape {tuple(value.shape)}, not {shape}"
            yield Violation("shape", what, SHAPED[name])
    if made.reason is not None and len(made.reason) != n:
        what = f"reason has {len(made.reason)} lines for {n} images"
        yield Violation("shape", what, "give one line per image, empty where found")


def _word_breaches(made: Explanation) -> Iterator[Violation]:
    """Hold what is said of the counterfactual against what is given."""
    lacking = [n for n in ("success", "latent", "trajectory") if getattr(made, n) is not None]
    if made.counterfactual is None and lacking:
        what = f"{lacking[0]} is given and counterfactual is not"
        yield Violation("consistent", what, "give both, or neither")
    if made.trajectory is not None and made.latent is None:
        yield Violation(
            "consistent", "path is given and latent is not", "a path ends at the latent"
        )
    if made.reason is None:
        return
    if made.success is None:
        yield Violation("consistent", "reason is given and found is not", "give both, or neither")
    elif [not line for line in made.reason] != made.success.tolist():
        what = "reason is empty where nothing was found, or given where something was"
        yield Violation("consistent", what, "say of each image why not; an empty text where found")


class MutationGuard:
    """Notices what an explainer changed of the model and of what it was given; copies nothing.

    A change of values through `.data` goes unnoticed; `gvr_bench.testing` compares those as well.
    """

    def __init__(self, model: Model, x: Tensor, target: ExplanationTarget) -> None:
        self.model = model
        self.given = {"x": x} | {
            f"query.{name}": getattr(target, name)
            for name in ("source_class", "target_class", "threshold", "reference_value")
        }
        self.before = self.look()

    def look(self) -> dict[str, dict[str, Any]]:
        """Return what may not change, by rule and by name."""
        nets = [(part, getattr(self.model, part)) for part in PARTS]
        modules = [(f"{p}.{n}" if n else p, m) for p, net in nets for n, m in net.named_modules()]
        weights = [
            (f"{part}.{name}", tensor)
            for part, net in nets
            for name, tensor in chain(net.named_parameters(), net.named_buffers())
        ]
        return {
            "weights": {name: (_Same(tensor), tensor._version) for name, tensor in weights},
            "mode": {name: module.training for name, module in modules},
            "gradients": {n: (t.requires_grad, t.grad is None) for n, t in weights if t.is_leaf},
            "hooks": {name: _hooks(module) for name, module in modules},
            "input": {name: (t._version, t.requires_grad) for name, t in self.given.items()},
        }

    def violations(self) -> Iterator[Violation]:
        """Say what is no longer as it was."""
        for rule, after in self.look().items():
            before = self.before[rule]
            changed = [name for name in after if after[name] != before.get(name)]
            if changed or len(after) != len(before):
                more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
                name = changed[0] if changed else "the model"
                yield Violation(rule, f"{CHANGED[rule].format(name)}{more}", KEPT[rule])


CHANGED = {
    "weights": "changed the weights {}",
    "mode": "switched train or eval mode of {}",
    "gradients": "left a gradient in {}, or switched its requires_grad",
    "hooks": "left a hook on {}, or took one away",
    "input": "changed {} in place",
}
KEPT = {
    "weights": "work on a copy, e.g. copy.deepcopy(model.encoder)",
    "mode": "networks come in eval mode and stay so; work on a copy, e.g. "
    "copy.deepcopy(model.encoder).train()",
    "gradients": "torch.autograd.grad(outputs.sum(), x) leaves none behind",
    "hooks": "remove each handle in a finally",
    "input": "begin with x = x.detach().clone()",
}


class _Same:
    """Equal where it is the very same tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.tensor is other.tensor

    __hash__ = None  # type: ignore[assignment]


def _hooks(module: nn.Module) -> tuple[int, ...]:
    """Return the numbers of a module's hooks."""
    return tuple(number for kind in HOOKS for number in getattr(module, kind))


def _word(dtype: torch.dtype) -> str:
    """Return a dtype as people write it."""
    return str(dtype).removeprefix("torch.")
