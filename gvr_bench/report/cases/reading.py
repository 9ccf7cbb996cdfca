"""Reads the pictures of a run from `cases.h5`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Role
from gvr_bench.core.types import KINDS
from gvr_bench.report.cases.checks import checked
from gvr_bench.results.files import CASES
from gvr_bench.results.records import model_label
from gvr_bench.results.run_folder import open_cases, reading

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """One explainer's answers for the cases that are shown, k of them.

    `role` is None for one that could not be loaded. `attribution` (k, H, W) is None unless `status`
    is ok; the rest is None for explainers that make no counterfactual. `trajectory` (k, T, C, H, W)
    holds images at equal fractions of the search from the reconstruction to the counterfactual,
    and `trajectory_prediction` (k, T) the model's predictions for them; `oracle_after` and
    `oracle_target_after` (k,) are the oracle's predictions for the counterfactual.
    """

    name: str
    role: Role | None
    status: str
    reason: str
    attribution: Float | None = None
    counterfactual: NDArray[np.uint8] | None = None
    success: NDArray[np.bool_] | None = None
    steps: NDArray[np.int64] | None = None
    reasons: tuple[str, ...] | None = None
    after: Float | None = None
    reencoded: Float | None = None
    trajectory: NDArray[np.uint8] | None = None
    trajectory_prediction: Float | None = None
    oracle_after: Float | None = None
    oracle_target_after: Float | None = None
    end: Float | None = None

    @property
    def control(self) -> bool:
        """Whether it only sets a baseline."""
        return self.role == "control"


@dataclass(frozen=True)
class Test:
    """What the model predicts for all n test images, and what they show.

    `prediction` (n, K), activated and in the unit for regression; `positive` (n, K); `target`
    (n, columns), in the unit and NaN where not labelled, None in runs that did not keep it.
    """

    prediction: Float
    positive: NDArray[np.bool_]
    target: Float | None = None


@dataclass(frozen=True)
class Space:
    """Latents of m test images on their first two principal components.

    `points` (m, 2), `positive` (m, K), `shares` (2,) of the variance, and `start` (k, 2), where
    the cases lie; where their counterfactuals lie is `Explained.end`.
    """

    points: Float
    positive: NDArray[np.bool_]
    shares: Float
    start: Float


@dataclass(frozen=True)
class Curve:
    """How one loss of one stage went: (steps,) each."""

    stage: str
    loss: str
    step: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Combination:
    """One explained model with the first k of its `total` cases.

    Arrays are as in `cases.h5`; `threshold` is None where the task has none. There are no cases
    where the data failed, and no reconstruction or prediction where every explainer did. `oracle`
    and `oracle_target` (k,) are what an independent judge says of the input, for the output to be
    lowered and, among classes, for the one to be reached. `notes` are sentences about the model
    and about how explainers look into it.
    """

    dataset: str
    model: str
    seed: int
    kind: str
    outputs: tuple[str, ...]
    unit: str
    threshold: float | None
    total: int
    input: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8] | None
    sample_id: tuple[str, ...]
    patient_id: tuple[str, ...]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    label: Float
    prediction: Float | None
    predicts_source: NDArray[np.bool_] | None
    mask: NDArray[np.bool_] | None
    true_change: Float | None
    samples: NDArray[np.uint8] | None
    test: Test | None
    explainers: tuple[Explained, ...]
    curves: tuple[Curve, ...]
    space: Space | None = None
    oracle: Float | None = None
    oracle_target: Float | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.input)

    @property
    def size(self) -> int:
        """Width of the images in pixels."""
        return int((self.input if self.samples is None else self.samples).shape[-1])


def read_cases(path: Path) -> list[Combination]:
    """Read the cases of every combination: none where the run has no such file.

    Raises `DataError` where the file is damaged.
    """
    if not (path / CASES).is_file():
        return []
    with open_cases(path) as file, reading(path, CASES, "the cases"):
        names = sorted(file, key=_position)
        return [checked(_combination(file[name])) for name in names]


def _position(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


def _combination(group: h5py.Group) -> Combination:
    attrs = group.attrs
    threshold = float(attrs["threshold"])
    outputs = tuple(json.loads(attrs["outputs"]))
    k = len(group["input"]) if "input" in group else 0
    return Combination(
        dataset=str(attrs["dataset"]),
        model=model_label(*(str(attrs[part]) for part in ("generator", "encoder", "head"))),
        seed=int(attrs["seed"]),
        kind=str(attrs["kind"]),
        outputs=outputs,
        unit=str(attrs["unit"]),
        threshold=None if math.isnan(threshold) else threshold,
        total=int(attrs.get("total", len(group["input"]))) if k else 0,
        input=group["input"][:k] if k else np.zeros((0, 1, 1, 1), np.uint8),
        reconstruction=_rows(group, "reconstruction", k),
        sample_id=_strings(group["sample_id"], k) if k else (),
        patient_id=_strings(group["patient_id"], k) if k else (),
        source=group["source_class"][:k] if k else np.zeros(0, np.int64),
        target=group["target_class"][:k] if k else np.zeros(0, np.int64),
        label=group["label"][:k] if k else np.zeros(0, np.float32),
        prediction=_rows(group, "prediction", k),
        predicts_source=_rows(group, "predicts_source", k),
        mask=_rows(group, "mask", k),
        true_change=_rows(group, "true_change", k),
        samples=_rows(group, "samples", None),
        test=_test(group["test"], len(outputs)) if "test" in group else None,
        explainers=tuple(_explained(n, g, k) for n, g in group.get("explainers", {}).items()),
        curves=_history(group.get("history", {})),
        space=_space(group["space"], k) if "space" in group else None,
        oracle=_rows(group, "oracle", k),
        oracle_target=_rows(group, "oracle_target", k),
        notes=tuple(map(str, json.loads(attrs.get("notes", "[]")))),
    )


def _test(group: h5py.Group, outputs: int) -> Test:
    prediction, positive = group["prediction"][:], group["positive"][:].astype(bool)
    if prediction.shape != positive.shape or prediction.shape[1:] != (outputs,):
        raise ValueError(
            f"test predictions of shape {prediction.shape} and labels of {positive.shape} "
            f"for {outputs} outputs"
        )
    target = _rows(group, "target", None)
    if target is not None and len(target) != len(prediction):
        raise ValueError(f"{len(target)} test labels for {len(prediction)} predictions")
    return Test(prediction, positive, target)


def _space(group: h5py.Group, k: int) -> Space:
    points, positive = group["points"][:], group["positive"][:].astype(bool)
    if points.shape[1:] != (2,) or len(points) != len(positive):
        raise ValueError(f"latents of shape {points.shape} with labels of shape {positive.shape}")
    return Space(points, positive, group["shares"][:], group["start"][:k])


def _explained(name: str, group: h5py.Group, k: int) -> Explained:
    trajectory = _rows(group, "trajectory", k)
    if trajectory is not None and (trajectory.ndim != 5 or trajectory.shape[1] < 2):
        raise ValueError(f"the trajectory of {name} has shape {trajectory.shape}")
    moments = None if trajectory is None else _rows(group, "trajectory_prediction", k)
    return Explained(
        name=name,
        role=group.attrs["role"] or None,
        status=str(group.attrs["status"]),
        reason=str(group.attrs["reason"]),
        attribution=_rows(group, "attribution", k),
        counterfactual=_rows(group, "counterfactual", k),
        success=_rows(group, "success", k),
        steps=_rows(group, "steps", k),
        reasons=_strings(group["reason"], k) if "reason" in group else None,
        after=_rows(group, "prediction_after", k),
        reencoded=_rows(group, "prediction_reencoded", k),
        trajectory=trajectory,
        trajectory_prediction=moments,
        oracle_after=_rows(group, "oracle_after", k),
        oracle_target_after=_rows(group, "oracle_target_after", k),
        end=_rows(group, "end", k),
    )


def _history(group: Mapping[str, h5py.Group]) -> tuple[Curve, ...]:
    """Curves in the order in which the stages were trained."""
    order = [*(kind for kind in KINDS if kind in group), *(n for n in group if n not in KINDS)]
    return tuple(
        Curve(stage, loss, _floats(group[stage]["step"]), _floats(group[stage][loss]))
        for stage in order
        for loss in group[stage]
        if loss != "step"
    )


def _floats(data: h5py.Dataset) -> NDArray[np.float64]:
    return np.asarray(data[:], dtype=np.float64)


def _rows(group: h5py.Group, name: str, k: int | None) -> Any:
    """The first `k` rows of an array, or None where it does not exist."""
    return group[name][:k] if name in group else None


def _strings(data: h5py.Dataset, most: int) -> tuple[str, ...]:
    return tuple(str(text) for text in data.asstr()[:most])
