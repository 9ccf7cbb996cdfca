"""What a run says of its data sets: counts, cautions, and a sheet of images."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class DataSummary:
    """One data set; `counts` has rows of a name and its number in train, validation and test.

    `sheet` is a PNG in base64 with images of each class as they were read, empty if there is none.
    """

    dataset: str
    counts: tuple[tuple[str, ...], ...]
    cautions: tuple[str, ...]
    sheet: str


def read_summaries(path: Path) -> tuple[DataSummary, ...]:
    """Read the data sets of a run. Raises `OSError`, `ValueError`, `TypeError` or `KeyError`."""
    return tuple(_summary(entry) for entry in json.loads(path.read_text(encoding="utf-8")))


def _summary(entry: Mapping[str, Any]) -> DataSummary:
    sheet = str(entry["sheet"])
    if sheet and not base64.b64decode(sheet, validate=True).startswith(_PNG):
        raise ValueError("its sheet is no PNG")
    return DataSummary(
        str(entry["dataset"]),
        tuple(tuple(str(cell) for cell in row) for row in entry["counts"]),
        tuple(str(line) for line in entry["cautions"]),
        sheet,
    )
