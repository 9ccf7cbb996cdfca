"""The rationales of a case as files: pictures for a paper, arrays to compute with, and facts."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gvr_bench.cache.hdf5 import SLASH
from gvr_bench.report.cases import map_colours
from gvr_bench.report.cases.case_view import change_scale, heat_scale, outcome, shown
from gvr_bench.report.cases.cases_file import Combination, Explained
from gvr_bench.report.cases.map_colours import Float
from gvr_bench.report.file_names import file_names

EDGE = 512  # pixels, about: small images are enlarged by a factor that is an integer
_FIXED = ("input", "reconstruction", "true-change", "outline")


@dataclass(frozen=True)
class RationaleFiles:
    """The explainers of a model whose rationales are written, with the names of their files.

    `change` is the change of intensity that is shown in full colour.
    """

    c: Combination
    explainers: tuple[tuple[str, Explained], ...]
    change: float

    @classmethod
    def of(cls, c: Combination, names: Sequence[str]) -> RationaleFiles:
        explainers = shown(c)
        labels = [e.name for e in explainers]
        after = [f"{name}-counterfactual" for name in file_names(labels)]
        files = file_names(labels, reserved=(*_FIXED, *after))
        chosen = zip(files, explainers, strict=True)
        some = tuple((file, e) for file, e in chosen if not names or e.name in names)
        return cls(c, some, change_scale(c))


def write_case(files: RationaleFiles, i: int, folder: Path) -> Iterator[tuple[Path, str | bytes]]:
    facts = json.dumps(facts_of(files, i), ensure_ascii=False, indent=1, allow_nan=False)
    yield folder / "case.json", f"{facts}\n"
    yield folder / "rationales.npz", arrays_of(files, i)
    for name, picture in pictures_of(files, i):
        yield folder / f"{name}.png", picture


def pictures_of(files: RationaleFiles, i: int) -> Iterator[tuple[str, bytes]]:
    """Pictures of case `i` as PNG: the image, what is known of it, and maps over it."""
    c, image = files.c, files.c.input[i]
    edge = image.shape[-1] * max(1, round(EDGE / max(image.shape[-2:])))

    def png(picture: Image.Image, over: Image.Image | None = None) -> bytes:
        height = picture.height * edge // picture.width
        large = picture.resize((edge, height), Image.Resampling.BICUBIC).convert("RGB")
        if over is not None:
            large.paste(over, mask=over)
        buffer = io.BytesIO()
        large.save(buffer, "PNG")
        return buffer.getvalue()

    yield "input", png(map_colours.plain(image, edge))
    if c.reconstruction is not None:
        yield "reconstruction", png(map_colours.plain(c.reconstruction[i], edge))
    if c.true_change is not None:
        yield "true-change", png(map_colours.overlay(image, c.true_change[i], files.change, edge))
    if c.mask is not None and c.mask[i].any():
        yield "outline", png(map_colours.plain(image, edge), map_colours.contour(c.mask[i], edge))
    for name, e in files.explainers:
        assert e.attribution is not None
        scale = heat_scale(e, files.change)
        yield name, png(map_colours.overlay(image, e.attribution[i], scale, edge))
        if e.counterfactual is not None:
            yield f"{name}-counterfactual", png(map_colours.plain(e.counterfactual[i], edge))


def arrays_of(files: RationaleFiles, i: int) -> bytes:
    """Arrays of case `i` as an NPZ file of float32 without pickles.

    `input`, `reconstruction` and `counterfactual_<explainer>` (C, H, W) on [-1, 1];
    `attribution_<explainer>` (H, W), positive where the image has too much; `true_change` (H, W),
    the same for the true cause in units of intensity; `mask` (H, W), 1 inside the finding.
    Explainers go by the names of their files.
    """
    c = files.c
    arrays: dict[str, NDArray[Any]] = {"input": _intensity(c.input[i])}
    if c.reconstruction is not None:
        arrays["reconstruction"] = _intensity(c.reconstruction[i])
    if c.true_change is not None:
        arrays["true_change"] = c.true_change[i]
    if c.mask is not None:
        arrays["mask"] = c.mask[i]
    for name, e in files.explainers:
        assert e.attribution is not None
        arrays[f"attribution_{name}"] = e.attribution[i]
        if e.counterfactual is not None:
            arrays[f"counterfactual_{name}"] = _intensity(e.counterfactual[i])
    buffer = io.BytesIO()
    floats = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    np.savez_compressed(buffer, **floats)  # type: ignore[arg-type]
    return buffer.getvalue()


def _intensity(image: NDArray[np.uint8]) -> Float:
    return np.asarray(image / 127.5 - 1, np.float32)


def facts_of(files: RationaleFiles, i: int) -> dict[str, object]:
    """What is known of case `i`, for JSON; unknown numbers are null.

    `full_colour` is the value that a map shows in full colour, and `file` the name of its picture.
    """
    c = files.c
    return {
        "case": c.sample_id[i],
        "patient": c.patient_id[i],
        "dataset": c.dataset,
        "model": c.model,
        "seed": c.seed,
        "output": c.outputs[int(c.source[i])],
        "target_class": c.outputs[int(c.target[i])] if c.kind == "multiclass" else None,
        "unit": c.unit if c.kind == "regression" else "",
        "label": _number(c.label, i),
        "prediction": _number(c.prediction, i),
        "oracle": _number(c.oracle, i),
        "full_colour_of_changes": files.change,
        "explainers": {
            e.name.replace(SLASH, "/"): _facts(files, name, e, i) for name, e in files.explainers
        },
    }


def _facts(files: RationaleFiles, name: str, e: Explained, i: int) -> dict[str, object]:
    facts: dict[str, object] = {"file": name, "full_colour": heat_scale(e, files.change)}
    if e.counterfactual is None:
        return facts
    return facts | {
        "outcome": outcome(files.c, e, i),
        "reason": e.reasons[i] if e.reasons is not None else "",
        "steps": None if e.steps is None else int(e.steps[i]),
        "prediction_after": _number(e.after, i),
        "oracle_after": _number(e.oracle_after, i),
    }


def _number(values: Float | None, i: int) -> float | None:
    return None if values is None or not math.isfinite(values[i]) else float(values[i])
