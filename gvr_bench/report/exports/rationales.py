"""What explainers made of single cases: pictures for a paper, and arrays to compute with."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.report.cases import pictures
from gvr_bench.report.cases.pictures import Float
from gvr_bench.report.cases.reading import Combination, Explained
from gvr_bench.report.cases.views import change_scale, heat_scale, outcome, shown
from gvr_bench.report.exports.file_names import file_names

EDGE = 512
"""Pixels that pictures are about as wide or high as; small ones are enlarged by a whole number."""

_FIXED = ("input", "reconstruction", "true-change", "outline")


@dataclass(frozen=True)
class Chosen:
    """An explainer, what its files are called, and the value that its map shows in full colour."""

    of: Explained
    file: str
    scale: float


@dataclass(frozen=True)
class ComponentSpec:
    """The explainers of a model whose rationales are written; `change` as `Chosen.scale`."""

    explainers: tuple[Chosen, ...]
    change: float


def choose(c: Combination, names: Sequence[str]) -> ComponentSpec:
    """The explainers of these names, or all, in the order of a page."""
    every, change = shown(c), change_scale(c)
    labels = [e.name for e in every]
    after = [f"{name}-counterfactual" for name in file_names(labels)]
    files = file_names(labels, reserved=(*_FIXED, *after))
    chosen = (
        Chosen(e, file, heat_scale(e, change))
        for e, file in zip(every, files, strict=True)
        if not names or e.name in names
    )
    return ComponentSpec(tuple(chosen), change)


def pictures_of(c: Combination, i: int, choice: ComponentSpec) -> dict[str, bytes]:
    """Pictures of case `i` by name, as PNG.

    `input` and `reconstruction`; where they are known `true-change`, over the input, and
    `outline`, that of the finding; and of each explainer the map over the input, and
    `...-counterfactual`.
    """
    image = c.input[i]
    factor = max(1, round(EDGE / max(image.shape[-2:])))
    edge = image.shape[-1] * factor

    def over(attribution: Float, scale: float) -> bytes:
        return _enlarged(pictures.overlay(image, attribution, scale, edge), edge)

    found = {"input": _enlarged(pictures.plain(image, edge), edge)}
    if c.reconstruction is not None:
        found["reconstruction"] = _enlarged(pictures.plain(c.reconstruction[i], edge), edge)
    if c.true_change is not None:
        found["true-change"] = over(c.true_change[i], choice.change)
    if c.mask is not None and c.mask[i].any():
        outlined = pictures.outlined(image, None, c.mask[i], 1.0, edge)
        found["outline"] = _enlarged(outlined, edge)
    for one in choice.explainers:
        assert one.of.attribution is not None
        found[one.file] = over(one.of.attribution[i], one.scale)
        if one.of.counterfactual is not None:
            after = pictures.plain(one.of.counterfactual[i], edge)
            found[f"{one.file}-counterfactual"] = _enlarged(after, edge)
    return found


def _enlarged(uri: str, edge: int) -> bytes:
    """The PNG of a data URI, pixel by pixel as wide as `edge`."""
    data = base64.b64decode(uri.partition(",")[2])
    picture = Image.open(io.BytesIO(data))
    if picture.width == edge:
        return data
    height = picture.height * edge // picture.width
    buffer = io.BytesIO()
    picture.resize((edge, height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def arrays_of(c: Combination, i: int, choice: ComponentSpec) -> bytes:
    """Arrays of case `i` as an NPZ file, float32 all of them and without pickles.

    `input`, `reconstruction` and `counterfactual_<explainer>` (C, H, W) on [-1, 1];
    `heat_<explainer>` (H, W), positive where the image has too much; `true_change` (H, W), the
    same of the true cause on that scale of intensity; `mask` (H, W), 1 inside of the finding.
    Explainers go by the names of their files.
    """
    found: dict[str, NDArray[Any]] = {"input": _intensity(c.input[i])}
    if c.reconstruction is not None:
        found["reconstruction"] = _intensity(c.reconstruction[i])
    if c.true_change is not None:
        found["true_change"] = c.true_change[i]
    if c.mask is not None:
        found["mask"] = c.mask[i]
    for one in choice.explainers:
        assert one.of.attribution is not None
        found[f"heat_{one.file}"] = one.of.attribution[i]
        if one.of.counterfactual is not None:
            found[f"counterfactual_{one.file}"] = _intensity(one.of.counterfactual[i])
    buffer = io.BytesIO()
    floats = {name: np.asarray(array, np.float32) for name, array in found.items()}
    np.savez_compressed(buffer, **floats)  # type: ignore[arg-type]
    return buffer.getvalue()


def _intensity(image: NDArray[np.uint8]) -> Float:
    return np.asarray(image / 127.5 - 1, np.float32)


def facts_of(c: Combination, i: int, choice: ComponentSpec) -> dict[str, object]:
    """What there is to tell of case `i`, for JSON; numbers are null where they are not known.

    `full_colour` is the value that a map shows in full colour, and `file` the name of its picture.
    """
    target = c.outputs[int(c.target[i])] if c.kind == "multiclass" else None
    return {
        "case": c.sample_id[i],
        "patient": c.patient_id[i],
        "dataset": c.dataset,
        "model": c.model,
        "seed": c.seed,
        "finding": c.outputs[int(c.source[i])],
        "target": target,
        "unit": c.unit if c.kind == "regression" else "",
        "label": _number(c.label, i),
        "prediction": _number(c.prediction, i),
        "oracle": _number(c.oracle, i),
        "full_colour_of_changes": choice.change,
        "explainers": {
            one.of.name.replace(SLASH, "/"): _facts(c, one, i) for one in choice.explainers
        },
    }


def _facts(c: Combination, one: Chosen, i: int) -> Mapping[str, object]:
    e = one.of
    about: dict[str, object] = {"file": one.file, "full_colour": one.scale}
    if e.counterfactual is None:
        return about
    return about | {
        "outcome": outcome(c, e, i),
        "reason": e.reasons[i] if e.reasons is not None else "",
        "steps": None if e.steps is None else int(e.steps[i]),
        "prediction_after": _number(e.after, i),
        "oracle_after": _number(e.oracle_after, i),
    }


def _number(values: Float | None, i: int) -> float | None:
    return None if values is None or not math.isfinite(values[i]) else float(values[i])
