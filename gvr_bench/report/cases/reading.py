"""Reads the pictures of a run from `cases.h5`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Role
from gvr_bench.core.types import KINDS
from gvr_bench.report.cases.layouts import (
    ANY,
    FLAGS,
    INTEGERS,
    NUMBERS,
    OF_EXPLAINER,
    OF_MODEL,
    Layout,
    expect,
    read_arrays,
)
from gvr_bench.results.records import CASES, model_label
from gvr_bench.results.run_folder import open_cases, reading

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """One explainer's answers for the cases that are shown, k of them.

    `role` is None for one that could not be loaded. `attribution` (k, H, W) is None unless `status`
    is ok; the rest is None for explainers that make no counterfactual. `trajectory` (k, T, C, H, W)
    holds images at equal fractions of the search from the reconstruction to the counterfactual,
    and `trajectory_prediction` (k, T) the model's predictions for them; `oracle_after` and
    `oracle_target_after` (k,) are the oracle's predictions for the counterfactual. `deletion` and
    `insertion` (k, S) say how much of the finding the model predicts as pixels go or come.
    """

    name: str
    role: Role | None
    status: str
    reason: str
    attribution: Float | None = None
    counterfactual: NDArray[np.uint8] | None = None
    residual: bool = False
    success: NDArray[np.bool_] | None = None
    steps: NDArray[np.int64] | None = None
    reasons: tuple[str, ...] | None = None
    after: Float | None = None
    reencoded: Float | None = None
    trajectory: NDArray[np.uint8] | None = None
    trajectory_prediction: Float | None = None
    oracle_after: Float | None = None
    oracle_target_after: Float | None = None
    deletion: Float | None = None
    insertion: Float | None = None

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
        return [_combination(file[name]) for name in names]


def _position(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


NEEDED = ("input", "source", "target", "label")  # wherever there are cases
_KINDS = ("regression", "binary", "multilabel", "multiclass")
_STATUSES = ("ok", "n/a", "failed", "skipped")


def _combination(group: h5py.Group) -> Combination:
    attrs = group.attrs
    outputs = tuple(json.loads(attrs["outputs"]))
    if not outputs or not all(isinstance(name, str) for name in outputs):
        raise ValueError(f"the outputs are {outputs!r}")
    if str(attrs["kind"]) not in _KINDS:
        raise ValueError(f"unknown kind of task {attrs['kind']!r}; known: {', '.join(_KINDS)}")
    threshold = float(attrs["threshold"])
    shape = group["input"].shape if "input" in group else (0, 1, 1, 1)
    if len(shape) != 4 or 0 in shape[1:]:
        raise ValueError(f"input has shape {shape}")
    sizes = dict(zip("kchw", shape if shape[0] else (0, *[ANY] * 3), strict=True))
    arrays = read_arrays(group, OF_MODEL, sizes)
    if k := sizes["k"]:
        for name in NEEDED:
            group[OF_MODEL[name][0]]  # raises where it is missing
    arrays |= {name: _nothing(name) for name in NEEDED if arrays[name] is None}
    combination = Combination(
        dataset=str(attrs["dataset"]),
        model=model_label(*(str(attrs[part]) for part in ("generator", "encoder", "head"))),
        seed=int(attrs["seed"]),
        kind=str(attrs["kind"]),
        outputs=outputs,
        unit=str(attrs["unit"]),
        threshold=None if math.isnan(threshold) else threshold,
        total=int(attrs.get("total", k)) if k else 0,
        sample_id=_strings(group["sample_id"], k) if k else (),
        patient_id=_strings(group["patient_id"], k) if k else (),
        test=_test(group["test"], len(outputs)) if "test" in group else None,
        explainers=tuple(_explained(n, g, sizes) for n, g in group.get("explainers", {}).items()),
        curves=_history(group.get("history", {})),
        notes=tuple(map(str, json.loads(attrs.get("notes", "[]")))),
        **arrays,
    )
    _check(combination)
    return combination


def _nothing(name: str) -> NDArray[Any]:
    """An array of no cases."""
    if name == "input":
        return np.zeros((0, 1, 1, 1), np.uint8)
    return np.zeros(0, np.float32 if name == "label" else np.int64)


def _check(c: Combination) -> None:
    """Whether names, classes and labels fit each other. Raises `ValueError`."""
    texts = (text for e in c.explainers for text in (e.name, e.reason, *(e.reasons or ())))
    about = (c.dataset, c.model, c.unit, *c.outputs, *c.sample_id, *c.patient_id, *texts)
    "".join(about).encode()  # invalid text is read as surrogates, which cannot be encoded
    for name, index in (("source_class", c.source), ("target_class", c.target)):
        if len(index) and not 0 <= index.min() <= index.max() < len(c.outputs):
            raise ValueError(f"{name} is not one of the {len(c.outputs)} outputs")
    labels = c.label[np.isfinite(c.label)]
    if c.kind == "multiclass" and not set(labels.tolist()) <= set(range(len(c.outputs))):
        raise ValueError(f"a label is not one of the {len(c.outputs)} classes")
    if len({len(c), len(c.sample_id), len(c.patient_id)}) > 1:
        raise ValueError(f"{len(c.sample_id)} names for {len(c)} cases")


def _test(group: h5py.Group, outputs: int) -> Test:
    layout: Layout = {
        "prediction": ("prediction", "nk", NUMBERS),
        "positive": ("positive", "nk", FLAGS + INTEGERS),
        "target": ("target", "n*", NUMBERS),
    }
    sizes = {"n": len(group["prediction"]), "k": outputs}
    arrays = read_arrays(group, layout, sizes)
    return Test(arrays["prediction"], arrays["positive"].astype(bool), arrays["target"])


def _explained(name: str, group: h5py.Group, sizes: Mapping[str, int]) -> Explained:
    status, role = str(group.attrs["status"]), group.attrs["role"] or None
    moments = group["trajectory"].shape[1:2] if "trajectory" in group else (ANY,)
    if moments != (ANY,) and (group["trajectory"].ndim != 5 or moments[0] < 2):
        raise ValueError(f"the trajectory of {name} has shape {group['trajectory'].shape}")
    arrays = read_arrays(group, OF_EXPLAINER, {**sizes, "t": moments[0]})
    reasons = _strings(group["reason"], None) if "reason" in group else None
    if status not in _STATUSES:
        raise ValueError(f"the status of {name} is {status!r}")
    if role not in get_args(Role) and not (role is None and arrays["attribution"] is None):
        raise ValueError(f"the role of {name} is {role!r}")
    if arrays["counterfactual"] is not None and arrays["attribution"] is None:
        raise ValueError(f"{name} has counterfactuals, but no map")
    if reasons is not None and len(reasons) != sizes["k"]:
        raise ValueError(f"{len(reasons)} reasons of {name} for {sizes['k']} cases")
    if arrays["trajectory"] is None:
        arrays["trajectory_prediction"] = None
    return Explained(
        name=name, role=role, status=status, reason=str(group.attrs["reason"]),
        reasons=reasons, residual="residual" in group, **arrays,
    )  # fmt: skip


def _history(group: Mapping[str, h5py.Group]) -> tuple[Curve, ...]:
    """Curves in the order in which the stages were trained."""
    order = [*(kind for kind in KINDS if kind in group), *(n for n in group if n not in KINDS)]
    curves = tuple(
        Curve(stage, loss, *(np.asarray(group[stage][x][:], np.float64) for x in ("step", loss)))
        for stage in order
        for loss in group[stage]
        if loss != "step"
    )
    for curve in curves:
        expect(f"{curve.stage}/{curve.loss}", curve.value, curve.step.shape, NUMBERS)
    return curves


def _strings(data: h5py.Dataset, most: int | None) -> tuple[str, ...]:
    return tuple(str(text) for text in data.asstr()[:most])
