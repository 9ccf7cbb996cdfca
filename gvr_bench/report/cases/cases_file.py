"""Reads the cases of a run from `cases.h5`."""

# ruff: noqa: RUF009 - `_array` returns a field

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.explainer import Role
from gvr_bench.core.types import KINDS
from gvr_bench.results.records import CASES, Status, model_label
from gvr_bench.results.run_folder import open_cases, reading

Float = NDArray[np.float32]
ANY = -1  # a length that nothing else has to match
BYTES, FLAGS, INTEGERS, NUMBERS = "u", "b", "iu", "fiu"  # kinds of number
NEEDED = {"input": np.uint8, "source": np.int64, "target": np.int64, "label": np.float32}
"""Arrays that exist wherever there are cases."""

_TASKS = ("regression", "binary", "multilabel", "multiclass")


def _array(axes: str, kinds: str, name: str = "") -> Any:
    """An array of the file: axes of equal names have equal lengths, `*` may have any.

    `name` is that in the file, where it differs from the field's.
    """
    return field(default=None, metadata={"array": (axes, kinds, name)})


@dataclass(frozen=True, kw_only=True)
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
    reasons: tuple[str, ...] | None = None
    residual: bool = False
    attribution: Float | None = _array("khw", NUMBERS)
    counterfactual: NDArray[np.uint8] | None = _array("kchw", BYTES)
    success: NDArray[np.bool_] | None = _array("k", FLAGS)
    steps: NDArray[np.int64] | None = _array("k", INTEGERS)
    after: Float | None = _array("k", NUMBERS, "prediction_after")
    reencoded: Float | None = _array("k", NUMBERS, "prediction_reencoded")
    oracle_after: Float | None = _array("k", NUMBERS)
    oracle_target_after: Float | None = _array("k", NUMBERS)
    deletion: Float | None = _array("ks", NUMBERS)
    insertion: Float | None = _array("ks", NUMBERS)
    trajectory: NDArray[np.uint8] | None = _array("ktchw", BYTES)
    trajectory_prediction: Float | None = _array("kt", NUMBERS)

    @property
    def control(self) -> bool:
        return self.role == "control"


@dataclass(frozen=True)
class Test:
    """What the model predicts for all n test images, and what they show.

    `prediction` (n, K), activated and in the unit for regression; `positive` (n, K); `target`
    (n, columns), in the unit and NaN where not labelled, None in runs that did not keep it.
    """

    prediction: Float = _array("no", NUMBERS)
    positive: NDArray[np.bool_] = _array("no", FLAGS + INTEGERS)
    target: Float | None = _array("n*", NUMBERS)


@dataclass(frozen=True)
class Curve:
    """How one loss of one stage went: (steps,) each."""

    stage: str
    loss: str
    step: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Combination:
    """One explained model with the first k of its `total` cases.

    `threshold` is None where the task has none. There are no cases where the data failed, and no
    reconstruction or prediction where every explainer did. `oracle` and `oracle_target` (k,) are
    what an independent judge says of the input, for the output to be lowered and, among classes,
    for the one to be reached. `notes` are sentences about the model and about how explainers look
    into it.
    """

    dataset: str
    model: str
    seed: int
    kind: str
    outputs: tuple[str, ...]
    unit: str
    threshold: float | None
    total: int
    sample_id: tuple[str, ...]
    patient_id: tuple[str, ...]
    test: Test | None
    explainers: tuple[Explained, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()
    input: NDArray[np.uint8] = _array("kchw", BYTES)
    reconstruction: NDArray[np.uint8] | None = _array("kchw", BYTES)
    samples: NDArray[np.uint8] | None = _array("*chw", BYTES)
    mask: NDArray[np.bool_] | None = _array("khw", FLAGS)
    true_change: Float | None = _array("khw", NUMBERS)
    source: NDArray[np.int64] = _array("k", INTEGERS, "source_class")
    target: NDArray[np.int64] = _array("k", INTEGERS, "target_class")
    label: Float = _array("k", NUMBERS)
    prediction: Float | None = _array("k", NUMBERS)
    predicts_source: NDArray[np.bool_] | None = _array("k", FLAGS)
    oracle: Float | None = _array("k", NUMBERS)
    oracle_target: Float | None = _array("k", NUMBERS)

    def __len__(self) -> int:
        return len(self.input)

    @property
    def size(self) -> int:
        return int((self.input if self.samples is None else self.samples).shape[-1])


def read_cases(path: Path) -> list[Combination]:
    """Read the cases of every combination: none where the run has no such file.

    Raises `DataError` where the file is damaged.
    """
    if not (path / CASES).is_file():
        return []
    with open_cases(path) as file, reading(path, CASES, "the cases"):
        names = sorted(file, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0, n))
        return [_combination(file[name]) for name in names]


def _read_arrays(kind: type, group: h5py.Group, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arrays of a dataclass, None where one does not exist. Raises `ValueError`."""
    read: dict[str, Any] = {}
    for f in fields(kind):
        if "array" in f.metadata:
            axes, kinds, name = f.metadata["array"]
            name = name or f.name
            read[f.name] = array = group[name][:] if name in group else None
            if array is not None:
                shape = [sizes.get(axis, ANY) for axis in axes]
                _expect(f"{group.name}/{name}", array, shape, kinds)
    return read


def _expect(name: str, array: NDArray[Any], shape: Sequence[int], kinds: str) -> None:
    """Raise `ValueError` unless an array has a shape and a kind of number."""
    lengths = zip(array.shape, shape, strict=False)
    if array.ndim != len(shape) or any(here != there != ANY for here, there in lengths):
        expected = " x ".join("any" if length == ANY else str(length) for length in shape)
        raise ValueError(f"{name} has shape {array.shape}, not {expected}")
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} holds {array.dtype}")


def _combination(group: h5py.Group) -> Combination:
    attrs = group.attrs
    outputs = tuple(json.loads(attrs["outputs"]))
    if not outputs or not all(isinstance(name, str) for name in outputs):
        raise ValueError(f"the outputs are {outputs!r}")
    if str(attrs["kind"]) not in _TASKS:
        raise ValueError(f"unknown kind of task {attrs['kind']!r}; known: {', '.join(_TASKS)}")
    threshold = float(attrs["threshold"])
    shape = group["input"].shape if "input" in group else (0, 1, 1, 1)
    if len(shape) != 4 or 0 in shape[1:]:
        raise ValueError(f"input has shape {shape}")
    sizes = dict(zip("kchw", shape if shape[0] else (0, *[ANY] * 3), strict=True))
    arrays, k = _read_arrays(Combination, group, sizes), sizes["k"]
    for name, dtype in NEEDED.items():
        if arrays[name] is None:
            if k:
                raise ValueError(f"{group.name} has no {name}")
            arrays[name] = np.zeros((0, 1, 1, 1) if name == "input" else 0, dtype)
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
    arrays = _read_arrays(Test, group, {"n": len(group["prediction"]), "o": outputs})
    return Test(arrays["prediction"], arrays["positive"].astype(bool), arrays["target"])


def _explained(name: str, group: h5py.Group, sizes: Mapping[str, int]) -> Explained:
    status, role = str(group.attrs["status"]), group.attrs["role"] or None
    moments = group["trajectory"].shape[1:2] if "trajectory" in group else (ANY,)
    if moments != (ANY,) and (group["trajectory"].ndim != 5 or moments[0] < 2):
        raise ValueError(f"the trajectory of {name} has shape {group['trajectory'].shape}")
    arrays = _read_arrays(Explained, group, {**sizes, "t": moments[0]})
    reasons = _strings(group["reason"], None) if "reason" in group else None
    if status not in get_args(Status):
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
    order = [*(kind for kind in KINDS if kind in group), *(n for n in group if n not in KINDS)]
    curves = tuple(
        Curve(stage, loss, *(np.asarray(group[stage][x][:], np.float64) for x in ("step", loss)))
        for stage in order
        for loss in group[stage]
        if loss != "step"
    )
    for curve in curves:
        _expect(f"{curve.stage}/{curve.loss}", curve.value, curve.step.shape, NUMBERS)
    return curves


def _strings(data: h5py.Dataset, most: int | None) -> tuple[str, ...]:
    return tuple(str(text) for text in data.asstr()[:most])
