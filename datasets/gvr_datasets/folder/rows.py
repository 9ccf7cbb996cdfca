"""The images of a folder with their labels, whatever layout they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One image: where the table names it, its patient, and a cell for each target column.

    `split` may be empty; `masks` mark the finding together, none where there is no mask;
    `lung_mask` marks the lungs, empty where there is none.
    """

    where: str
    name: str
    patient: str
    cells: tuple[str, ...]
    split: str = ""
    masks: tuple[str, ...] = ()
    lung_mask: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a folder in order, and a digest that does not depend on `root`.

    `cautions` say what was left out or understood in a way that may not be meant.
    """

    root: Path
    source: Path
    columns: tuple[str, ...]
    rows: list[Row]
    digest: str
    cautions: tuple[str, ...] = ()
