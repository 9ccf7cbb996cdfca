"""Evidence about explanations, made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gvr_bench.core.types import ExplanationTarget, Model, Task
from gvr_bench.metrics import Evidence

BINARY = Task("binary", ("mass",))
DIGITS = Task("multiclass", ("4", "7", "9"), source=2, target=0)


def evidence(n: int = 2, size: int = 2, **known: Any) -> Evidence:
    """Evidence in which all is black and nothing is known but what is given, arrays or tensors."""
    black = torch.zeros(n, 1, size, size)
    nothing: dict[str, Any] = {
        "task": BINARY,
        "attribution": torch.zeros(n, size, size),
        "image": black,
        "reconstruction": black,
        "seconds": torch.zeros(n),
    }
    return Evidence(**nothing | {name: tensors(value) for name, value in known.items()})


def tensors(value: Any) -> Any:
    """Turn arrays into tensors, in mappings too."""
    if isinstance(value, Mapping):
        return {name: tensors(one) for name, one in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def one_case(seen: Evidence, i: int) -> Evidence:
    """The same evidence about case `i` alone."""

    def row(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: row(one) for name, one in value.items()}
        cases = isinstance(value, torch.Tensor | ExplanationTarget) and len(value) == len(seen)
        return value[i : i + 1] if cases else value

    fields = [field.name for field in dataclasses.fields(seen)]
    return dataclasses.replace(seen, **{name: row(getattr(seen, name)) for name in fields})


def model_of_pixels(pixels: int, outputs: int, latent_dim: int = 4) -> Model:
    """A model with linear networks, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        side = int(pixels**0.5)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, latent_dim))
        generator = nn.Sequential(
            nn.Linear(latent_dim, pixels), nn.Tanh(), nn.Unflatten(1, (1, side, side))
        )
        return Model(encoder, generator, nn.Linear(latent_dim, outputs))


def question(task: Task, n: int, source: int = 0, target: int = 0) -> ExplanationTarget:
    """Ask the same of n images."""
    classes = (torch.full((n,), k) for k in (source, target))
    return ExplanationTarget(task, *classes, torch.full((n,), 0.5), torch.full((n,), 0.1))


def random_evidence(seed: int, n: int = 12, size: int = 8) -> Evidence:
    """Evidence in which all is known and nothing is related."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (6, n, 1, size, size)).astype(np.float32)

    def maps(*shape: int) -> np.ndarray:
        scale = 10.0 ** rng.integers(-6, 6)
        return rng.normal(0, scale, (*shape, size, size)).astype(np.float32)

    def flags() -> np.ndarray:
        return rng.random(n) < 0.5

    parts = ("head", "encoder", "generator")
    return evidence(
        n, size,
        attribution=maps(n), image=images[0], reconstruction=images[1], counterfactual=images[2],
        true_change=(images[0] - images[3])[:, 0], decoded_counterfactual=images[4],
        mask=rng.random((n, size, size)) < rng.random((n, 1, 1)),
        distractor=rng.random((n, size, size)) < rng.random((n, 1, 1)),
        success=flags(), reached_target=flags(), reencoded_reached_target=flags(), unchanged=flags(),
        oracle_sees=np.arange(n) % 3 > 0, oracle_reached_target=flags(), oracle_base_rate=flags(),
        start=rng.normal(size=(n, 4)), latent=rng.normal(size=(n, 4)), norm=2.0,
        features=rng.normal(size=(n, 3)), real_features=rng.normal(1, 2, size=(20, 3)),
        target_error=rng.exponential(1, n), source_error=rng.exponential(1, n),
        again={
            **{f"randomised_{part}": maps(n) for part in parts},
            "perturbed": maps(n, 3), "other_seed": maps(n),
        },
        clean=rng.random(n), contaminated=rng.random(n),
        agreement={k: rng.random(30) for k in (40, 160)},
        agreement_alone={k: rng.random(30) for k in (40, 160)},
        needed=rng.integers(8, 64, 3),
        model=model_of_pixels(size * size, 3), target=question(DIGITS, n, 2, 0), task=DIGITS,
        steps=rng.integers(0, 500, n), seconds=rng.exponential(1, n),
        evaluations=rng.integers(1, 500, n), memory=rng.exponential(1, n),
    )  # fmt: skip
