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

from gvr_bench.errors import DataError
from gvr_bench.report.folder import open_cases
from gvr_bench.types import KINDS

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """One explainer's answers for the cases that are shown, k of them.

    `heat` (k, H, W) is None unless `status` is ok; the rest is None for explainers that make no
    counterfactual.
    """

    name: str
    status: str
    reason: str
    heat: Float | None = None
    counterfactual: NDArray[np.uint8] | None = None
    found: NDArray[np.bool_] | None = None
    steps: NDArray[np.int64] | None = None
    reasons: tuple[str, ...] | None = None
    after: Float | None = None
    reencoded: Float | None = None


@dataclass(frozen=True)
class Test:
    """What the model predicts for all n test images, and what they show.

    `prediction` (n, K), activated and in the unit for regression; `positive` (n, K).
    """

    prediction: Float
    positive: NDArray[np.bool_]


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
    where the data failed, and no reconstruction or prediction where every explainer did.
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
    asked: NDArray[np.bool_] | None
    mask: NDArray[np.bool_] | None
    true_change: Float | None
    samples: NDArray[np.uint8] | None
    test: Test | None
    explainers: tuple[Explained, ...]
    curves: tuple[Curve, ...]

    def __len__(self) -> int:
        return len(self.input)

    @property
    def size(self) -> int:
        """Width of the images in pixels."""
        return int((self.input if self.samples is None else self.samples).shape[-1])


def read_cases(path: Path, most: int) -> list[Combination]:
    """Read the first cases of every combination, about `most` in all but at least 3 of each.

    Raises `DataError` where the file is damaged; a run without the file has no cases.
    """
    if not (path / "cases.h5").is_file():
        return []
    with open_cases(path) as file:
        each = max(3, min(12, most // max(1, len(file))))
        try:
            return [_combination(file[name], each) for name in sorted(file, key=_position)]
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise DataError(
                f"{path / 'cases.h5'} is not the cases of a run ({error}); "
                f"write it again with: gvr-bench run {path / 'spec.toml'} --out {path}"
            ) from error


def _position(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


def _combination(group: h5py.Group, most: int) -> Combination:
    attrs = group.attrs
    threshold = float(attrs["threshold"])
    outputs = tuple(json.loads(attrs["outputs"]))
    k = most if "input" in group else 0
    return Combination(
        dataset=str(attrs["dataset"]),
        model=f"{attrs['generator']} · {attrs['encoder']} · {attrs['head']}",
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
        source=group["source"][:k] if k else np.zeros(0, np.int64),
        target=group["target"][:k] if k else np.zeros(0, np.int64),
        label=group["label"][:k] if k else np.zeros(0, np.float32),
        prediction=_rows(group, "prediction", k),
        asked=_rows(group, "asked", k),
        mask=_rows(group, "mask", k),
        true_change=_rows(group, "true_change", k),
        samples=_rows(group, "samples", None),
        test=_test(group["test"], len(outputs)) if "test" in group else None,
        explainers=tuple(_explained(n, g, k) for n, g in group.get("explainers", {}).items()),
        curves=_history(group.get("history", {})),
    )


def _test(group: h5py.Group, outputs: int) -> Test:
    prediction, positive = group["prediction"][:], group["positive"][:].astype(bool)
    if prediction.shape != positive.shape or prediction.shape[1:] != (outputs,):
        raise ValueError(
            f"test predictions of shape {prediction.shape} and findings of {positive.shape} "
            f"for {outputs} outputs"
        )
    return Test(prediction, positive)


def _explained(name: str, group: h5py.Group, k: int) -> Explained:
    return Explained(
        name=name,
        status=str(group.attrs["status"]),
        reason=str(group.attrs["reason"]),
        heat=_rows(group, "heat", k),
        counterfactual=_rows(group, "counterfactual", k),
        found=_rows(group, "found", k),
        steps=_rows(group, "steps", k),
        reasons=_strings(group["reason"], k) if "reason" in group else None,
        after=_rows(group, "prediction_after", k),
        reencoded=_rows(group, "prediction_reencoded", k),
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
