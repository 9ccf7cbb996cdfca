"""Inputs of metrics, made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from gvr_bench.core.types import ExplanationTarget, Model, Task
from gvr_bench.metrics import GROUPS, Metric
from gvr_bench.metrics.base import Input
from gvr_bench.metrics.cascade import DEPTHS
from gvr_bench.metrics.case_specific import ComparisonInput, standardised
from gvr_bench.metrics.complexity import ComplexityInput
from gvr_bench.metrics.ground_truth import GroundTruthInput
from gvr_bench.metrics.intervention import InterventionInput
from gvr_bench.metrics.oracle import FeaturesInput, IdentityInput, OracleInput
from gvr_bench.metrics.proximity import ProximityInput
from gvr_bench.metrics.robustness import RobustnessInput
from gvr_bench.metrics.sanity import OtherImagesInput, SanityInput
from gvr_bench.metrics.validity import ValidityInput

BINARY = Task("binary", ("mass",))
DIGITS = Task("multiclass", ("4", "7", "9"), source=2, target=0)
PARTS = ("head", "encoder", "generator")
T = TypeVar("T", bound=Input)


def blank(cls: type[T], n: int = 2, size: int = 2, **known: Any) -> T:
    """An input in which all is black, and None what need not be there, but what is known."""
    black, maps = torch.zeros(n, 1, size, size), torch.zeros(n, size, size)
    defaults: dict[str, Any] = {
        "attribution": maps, "image": black, "base": black,
        "perturbed": torch.zeros(n, 1, size, size), "other_seed": maps,
        **{f"randomised_{part}": maps for part in PARTS}, **dict.fromkeys(DEPTHS, maps),
        "start": torch.zeros(n, 2), "norm": 1.0, "alike": torch.zeros(n, dtype=torch.int64),
        "model": model_of_pixels(size * size, 1), "target": question(BINARY, n),
    }  # fmt: skip
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {name: tensors(known.pop(name, defaults.get(name))) for name in names}
    assert not known, f"{cls.__name__} has no {set(known)}"
    return cls(**values)


def comparison(attribution: Any, truth: Any, alike: Sequence[int] | None = None) -> ComparisonInput:
    """Maps and truths (N, H, W) of cases to compare, of one output unless told otherwise."""
    maps, truths = (torch.tensor(np.asarray(of)) for of in (attribution, truth))
    return ComparisonInput(
        torch.tensor(alike or [0] * len(maps)),
        lambda rows: standardised(maps[rows]),
        lambda rows: standardised(truths[rows]),
    )


def ground_truth(n: int = 2, size: int = 2, **known: Any) -> GroundTruthInput:
    """Maps with the sign of the change, unless `true_map` says otherwise."""
    known = {"true_map": known.get("true_change"), **known}
    return blank(GroundTruthInput, n, size, **known)


intervention_input = partial(blank, InterventionInput)
validity_input = partial(blank, ValidityInput)
identity_input = partial(blank, IdentityInput)
complexity_input = partial(blank, ComplexityInput)
oracle_input = partial(blank, OracleInput)
features_input = partial(blank, FeaturesInput)
proximity_input = partial(blank, ProximityInput)
robustness_input = partial(blank, RobustnessInput)
sanity_input = partial(blank, SanityInput)


def tensors(value: Any) -> Any:
    """Turn arrays into tensors, in mappings too."""
    if isinstance(value, Mapping):
        return {name: tensors(item) for name, item in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def input_of(metric: Metric) -> type[Any]:
    """The class that a metric looks at."""
    group = next(group for group in GROUPS if group.name == metric.group)
    cls = getattr(group, f"{metric.over}_input")
    assert cls is not None
    return cls


def one_case(data: Any, i: int, n: int = 3) -> Any:
    """The same input of n cases about case `i` alone."""

    def row(value: Any) -> Any:
        cases = isinstance(value, torch.Tensor | ExplanationTarget) and len(value) == n
        return value[i : i + 1] if cases else value

    fields = [field.name for field in dataclasses.fields(data)]
    return dataclasses.replace(data, **{name: row(getattr(data, name)) for name in fields})


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
    """The same source and target for n images."""
    classes = (torch.full((n,), k) for k in (source, target))
    return ExplanationTarget(task, *classes, torch.full((n,), 0.5), torch.full((n,), 0.1))


def random_input(metric: Metric, seed: int, n: int = 12, size: int = 8) -> Any:
    """What a metric looks at, with all known and nothing related."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (6, n, 1, size, size)).astype(np.float32)

    def maps(*shape: int) -> np.ndarray:
        scale = 10.0 ** rng.integers(-6, 6)
        return rng.normal(0, scale, (*shape, size, size)).astype(np.float32)

    def flags() -> np.ndarray:
        return rng.random(n) < 0.5

    known: dict[str, Any] = {
        "attribution": maps(n), "image": images[0], "base": images[1],
        "counterfactual": images[2], "true_change": (images[0] - images[3])[:, 0],
        "true_map": (images[0] - images[3])[:, 0], "decoded_truth": images[4],
        "mask": rng.random((n, size, size)) < rng.random((n, 1, 1)),
        "distractor": rng.random((n, size, size)) < rng.random((n, 1, 1)),
        "structure_mask": rng.integers(0, 256, (n, 1, size, size), np.uint8),
        "effect": np.where(rng.random((n, 5)) < 0.8, rng.normal(size=(n, 5)), np.nan),
        "reached_target": flags(), "reencoded_reached_target": flags(), "unchanged": flags(),
        "sees_source": np.arange(n) % 3 > 0, "base_rate": flags(), "extra": {},
        "start": rng.normal(size=(n, 4)), "latent": rng.normal(size=(n, 4)), "norm": 2.0,
        "features": rng.normal(size=(n, 3)), "real_features": rng.normal(1, 2, size=(20, 3)),
        "target_error": rng.exponential(1, n), "source_error": rng.exponential(1, n),
        **{f"randomised_{part}": maps(n) for part in PARTS},
        "perturbed": maps(n, 3), "other_seed": maps(n), "other_target": maps(n),
        "others_changed": rng.random(n), "baseline": -1.0, "response": rng.normal(size=(n, 32)),
        "other": np.roll(np.arange(n), 1),
        "patients": np.arange(n) // 2, "index": np.arange(n), "cases": n,
        "contaminated": maps(n), "predicts_source": np.arange(n) % 4 > 0,
        "agreement": {k: rng.random(30) for k in (40, 160)},
        "agreement_alone": {k: rng.random(30) for k in (40, 160)},
        "needed": rng.integers(8, 64, 3),
        "model": model_of_pixels(size * size, 3), "target": question(DIGITS, n, 2, 0),
        "alternatives": rng.uniform(-1, 1, (n, 3, 1, size, size)).astype(np.float32),
        "steps": rng.integers(0, 500, n), "seconds": rng.exponential(1, n),
        "evaluations": rng.integers(1, 500, n), "memory": rng.exponential(1, n),
        **{name: maps(n) for name in DEPTHS},
    }  # fmt: skip
    cls = input_of(metric)
    if cls is ComparisonInput:
        return comparison(known["attribution"], known["true_change"])
    if cls is OtherImagesInput:
        drawn = tensors(known["attribution"])
        return OtherImagesInput(tensors(known["other"]), lambda rows: drawn[rows])
    if cls is IdentityInput:
        known |= {"counterfactual": rng.normal(size=(n, 3)), "image": rng.normal(size=(n, 3))}
    return cls(**{field.name: tensors(known[field.name]) for field in dataclasses.fields(cls)})
