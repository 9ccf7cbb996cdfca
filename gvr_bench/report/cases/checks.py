"""Whether the arrays of a combination fit each other, before anything is drawn of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.components import Role

if TYPE_CHECKING:
    from gvr_bench.report.cases.reading import Combination, Explained

ANY = -1
"""A length that nothing else has to match."""

BYTES, FLAGS, INTEGERS, NUMBERS = "u", "b", "iu", "fiu"
_STATUSES = ("ok", "n/a", "failed", "skipped")
_KINDS = ("regression", "binary", "multilabel", "multiclass")

Shape = tuple[int, ...]
Check = tuple[str, NDArray[Any] | None, Shape, str]


def checked(c: Combination) -> Combination:
    """Return a combination if its arrays fit each other. Raises `ValueError` that says which."""
    if not c.outputs or not all(isinstance(name, str) for name in c.outputs):
        raise ValueError(f"the outputs are {c.outputs!r}")
    if c.kind not in _KINDS:
        raise ValueError(f"unknown kind of task {c.kind!r}; known: {', '.join(_KINDS)}")
    about = (c.dataset, c.model, c.unit, *c.outputs, *c.sample_id, *c.patient_id)
    texts = (text for e in c.explainers for text in (e.name, e.reason, *(e.reasons or ())))
    "".join(
        (*about, *texts)
    ).encode()  # invalid text is read as surrogates, which cannot be encoded
    if c.input.ndim != 4 or 0 in c.input.shape[1:]:
        raise ValueError(f"input has shape {c.input.shape}")
    for name, array, shape, kinds in (*_of_model(c), *_of_explainers(c)):
        _expect(name, array, shape, kinds)
    for curve in c.curves:
        _expect(f"{curve.stage}/{curve.loss}", curve.value, curve.step.shape, NUMBERS)
    for name, index in (("source_class", c.source), ("target_class", c.target)):
        if len(index) and not 0 <= index.min() <= index.max() < len(c.outputs):
            raise ValueError(f"{name} is not one of the {len(c.outputs)} outputs")
    labels = c.label[np.isfinite(c.label)]
    if c.kind == "multiclass" and not set(labels.tolist()) <= set(range(len(c.outputs))):
        raise ValueError(f"a label is not one of the {len(c.outputs)} classes")
    if len({len(c), len(c.sample_id), len(c.patient_id)}) > 1:
        raise ValueError(f"{len(c.sample_id)} names for {len(c)} cases")
    return c


def _of_model(c: Combination) -> Iterator[Check]:
    k, image = len(c), c.input.shape[1:] if len(c) else (ANY, ANY, ANY)
    yield "input", c.input, (k, *c.input.shape[1:]), BYTES
    yield "reconstruction", c.reconstruction, (k, *image), BYTES
    yield "samples", c.samples, (ANY, *image), BYTES
    yield "mask", c.mask, (k, *image[1:]), FLAGS
    yield "true_change", c.true_change, (k, *image[1:]), NUMBERS
    yield "source_class", c.source, (k,), INTEGERS
    yield "target_class", c.target, (k,), INTEGERS
    yield "label", c.label, (k,), NUMBERS
    yield "prediction", c.prediction, (k,), NUMBERS
    yield "predicts_source", c.predicts_source, (k,), FLAGS
    yield "oracle", c.oracle, (k,), NUMBERS
    yield "oracle_target", c.oracle_target, (k,), NUMBERS
    if c.test is not None:
        n = len(c.test.prediction)
        yield "test/prediction", c.test.prediction, (n, len(c.outputs)), NUMBERS
        yield "test/target", c.test.target, (n, ANY), NUMBERS
    if c.space is not None:
        m = len(c.space.points)
        yield "space/points", c.space.points, (m, 2), NUMBERS
        yield "space/positive", c.space.positive, (m, len(c.outputs)), FLAGS
        yield "space/shares", c.space.shares, (2,), NUMBERS
        yield "space/start", c.space.start, (k, 2), NUMBERS


def _of_explainers(c: Combination) -> Iterator[Check]:
    for e in c.explainers:
        if e.status not in _STATUSES:
            raise ValueError(f"the status of {e.name} is {e.status!r}")
        if e.role not in get_args(Role) and not (e.role is None and e.attribution is None):
            raise ValueError(f"the role of {e.name} is {e.role!r}")
        if e.counterfactual is not None and e.attribution is None:
            raise ValueError(f"{e.name} has counterfactuals, but no map")
        if e.reasons is not None and len(e.reasons) != len(c):
            raise ValueError(f"{len(e.reasons)} reasons of {e.name} for {len(c)} cases")
        for name, array, shape, kinds in _of_explainer(c, e):
            yield f"{e.name}/{name}", array, shape, kinds


def _of_explainer(c: Combination, e: Explained) -> Iterator[Check]:
    k, image = len(c), c.input.shape[1:] if len(c) else (ANY, ANY, ANY)
    moments = ANY if e.trajectory is None else e.trajectory.shape[1]
    yield "attribution", e.attribution, (k, *image[1:]), NUMBERS
    yield "counterfactual", e.counterfactual, (k, *image), BYTES
    yield "success", e.success, (k,), FLAGS
    yield "steps", e.steps, (k,), INTEGERS
    yield "prediction_after", e.after, (k,), NUMBERS
    yield "prediction_reencoded", e.reencoded, (k,), NUMBERS
    yield "oracle_after", e.oracle_after, (k,), NUMBERS
    yield "oracle_target_after", e.oracle_target_after, (k,), NUMBERS
    yield "trajectory", e.trajectory, (k, ANY, *image), BYTES
    yield "trajectory_prediction", e.trajectory_prediction, (k, moments), NUMBERS
    yield "end", e.end, (k, 2), NUMBERS


def _expect(name: str, array: NDArray[Any] | None, shape: Shape, kinds: str) -> None:
    if array is None:
        return
    lengths = zip(array.shape, shape, strict=False)
    if array.ndim != len(shape) or any(here != there != ANY for here, there in lengths):
        expected = " x ".join("any" if length == ANY else str(length) for length in shape)
        raise ValueError(f"{name} has shape {array.shape}, not {expected}")
    if array.dtype.kind not in kinds:
        raise ValueError(f"{name} holds {array.dtype}")
