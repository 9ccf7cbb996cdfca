"""The text files of the NIH release: labels, lists of images, boxes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import gvr_bench.api as gvr
from gvr_datasets.image_tables import is_plain, read_records, read_text

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
RELEASE_EDGE = 1024
_NONE = "No Finding"
# The labels of ChestX-ray14, which share the table with the eight above.
_OTHERS = {"Consolidation", "Edema", "Emphysema", "Fibrosis", "Hernia", "Pleural_Thickening"}
_BOX_ALIASES = {"Infiltrate": "Infiltration"}
_LABEL_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_BOX_COLUMNS = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")


@dataclass(frozen=True)
class Row:
    """One image of the release, its patient and its findings."""

    name: str
    patient: str
    findings: frozenset[str]


@dataclass(frozen=True)
class Box:
    """Where a finding lies, in pixels of the 1024 x 1024 release."""

    x: float
    y: float
    w: float
    h: float


def read_rows(path: Path, root: Path) -> list[Row]:
    """Read the table of labels in its order. Raises `DataError` naming the line."""
    rows: dict[str, Row] = {}
    for line, (name, labels, patient) in read_records(path, root, _LABEL_COLUMNS):
        where = f"{path}, line {line}"
        _check_name(name, where)
        if name in rows:
            raise gvr.DataError(f"{where}: {name} has a row already; one row per image expected")
        if not patient:
            raise gvr.DataError(f"{where}: {name} has no Patient ID")
        if not is_plain(patient):
            raise gvr.DataError(f"{where}: Patient ID {patient!r} holds signs that cannot be shown")
        try:
            rows[name] = Row(name, patient, _findings(labels))
        except ValueError as error:
            raise gvr.DataError(f"{where}: {error}") from error
    if not rows:
        raise gvr.DataError(f"{path} has a header but no rows")
    return list(rows.values())


def read_names(path: Path, root: Path) -> set[str]:
    """Read a list of images, one name per line. Raises `DataError`."""
    names = {line.strip() for line in read_text(path, root).split("\n")} - {""}
    for name in names:
        _check_name(name, str(path))
    return names


def read_boxes(path: Path, root: Path) -> dict[tuple[str, str], list[Box]]:
    """Read the boxes of each (image, finding). Raises `DataError` naming the line."""
    boxes: dict[tuple[str, str], list[Box]] = {}
    for line, (name, label, *numbers) in read_records(path, root, _BOX_COLUMNS):
        where = f"{path}, line {line}"
        finding = _BOX_ALIASES.get(label, label)
        if finding not in FINDINGS:
            raise gvr.DataError(f"{where}: unknown finding {label!r}; known: {', '.join(FINDINGS)}")
        boxes.setdefault((name, finding), []).append(_box(numbers, where))
    return boxes


def _check_name(name: str, where: str) -> None:
    """Refuse names that could lead out of the folder of images, or that cannot be shown."""
    if name in {"", ".", ".."} or set(name) & set('/\\:"') or not is_plain(name):
        raise gvr.DataError(f"{where}: {name!r} is not the plain name of an image file")


@functools.cache
def _findings(cell: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in cell.split("|"))
    if names == {_NONE}:
        return frozenset()
    if _NONE in names:
        raise ValueError(f"'{cell}' joins '{_NONE}' with a finding")
    unknown = names - _OTHERS - set(FINDINGS)
    if unknown:
        known = ", ".join([*FINDINGS, *sorted(_OTHERS), _NONE])
        raise ValueError(f"unknown finding {min(unknown)!r}; known: {known}")
    return names


def _box(numbers: list[str], where: str) -> Box:
    try:
        x, y, w, h = map(float, numbers)
    except ValueError as error:
        raise gvr.DataError(f"{where}: {error}; a box is four numbers x, y, w, h") from error
    inside = 0 <= x < RELEASE_EDGE and 0 <= y < RELEASE_EDGE
    if not (inside and 0 < w < math.inf and 0 < h < math.inf):
        raise gvr.DataError(
            f"{where}: the box {', '.join(numbers)} lies outside of {RELEASE_EDGE} x "
            f"{RELEASE_EDGE} pixels"
        )
    return Box(x, y, w, h)
