"""The NIH release on disk: its files, and the images and labels in them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gvr_bench.api as gvr
from gvr_datasets.chestxray8.tables import Box, Row, read_boxes, read_names, read_rows
from gvr_datasets.image_tables import stay_inside

_TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
_TRAIN_LIST, _TEST_LIST, _BOXES = "train_val_list.txt", "test_list.txt", "BBox_List_2017.csv"
_NEEDS = (
    f"it needs {_TABLES[0]}, the images in images/ or images_001/images ... images_012/images "
    f"and, where you have them, {_TRAIN_LIST}, {_TEST_LIST} and {_BOXES}: 112,120 images, about "
    "45 GB, from https://nihcc.app.box.com/v/ChestXray-NIHCC; get them with gvr-bench datasets "
    "fetch chestxray8 --data-root DIR, then add --data-root DIR, or run now without them: "
    "gvr-bench run --dataset phantom"
)


@dataclass(frozen=True)
class Release:
    """What is in the folder of the release.

    - `rows`: the images that are labelled and there, in the order of the table.
    - `folders`: in which folder each of them lies.
    - `test`: those that the official lists keep for testing; None without lists.
    - `boxes`: per (image, finding); None without a list of boxes.
    - `digest`: of the text files and of the names and sizes of the images.
    """

    rows: list[Row]
    folders: dict[str, Path]
    test: set[str] | None
    boxes: dict[tuple[str, str], list[Box]] | None
    digest: str

    def file(self, row: Row) -> Path:
        """Where the image of that row lies."""
        return self.folders[row.name] / row.name


def open_release(root: Path | None, missing: Literal["error", "skip"]) -> Release:
    """Read everything but the images. Raises `DataError`."""
    if root is None:
        raise gvr.DataError(f"chestxray8 was given no folder to look in; {_NEEDS}")
    table = next((root / name for name in _TABLES if (root / name).is_file()), None)
    if table is None:
        raise gvr.DataError(f"no {' or '.join(_TABLES)} in {root}; {_NEEDS}")
    rows = read_rows(table, root)
    folders = _folders(root)
    if not folders:
        raise gvr.DataError(f"no images/ and no images_001/images in {root}; {_NEEDS}")
    present_files = _scan(folders, {row.name for row in rows}, root)
    present = [row for row in rows if row.name in present_files]
    if len(present) < len(rows):
        _check_missing(rows, present_files, table, folders, missing)
    lists = [root / name for name in (_TRAIN_LIST, _TEST_LIST) if (root / name).is_file()]
    boxes = root / _BOXES
    sources = [table, *lists, *([boxes] if boxes.is_file() else [])]
    return Release(
        rows=present,
        folders={name: folder for name, (folder, _) in present_files.items()},
        test=_official(lists, present, root),
        boxes=read_boxes(boxes, root) if boxes.is_file() else None,
        digest=_digest(sources, present_files),
    )


def _folders(root: Path) -> list[Path]:
    every = [root / "images", *sorted(root.glob("images_*/images"))]
    return [stay_inside(folder, root) for folder in every if folder.is_dir()]


def _scan(folders: list[Path], names: set[str], root: Path) -> dict[str, tuple[Path, int]]:
    """The folder and the size in bytes of each named image; the first folder that has it counts."""
    present_files: dict[str, tuple[Path, int]] = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in names or entry.name in present_files:
                    continue
                if entry.is_symlink():
                    stay_inside(folder / entry.name, root)
                if entry.is_file():
                    present_files[entry.name] = (folder, entry.stat().st_size)
    return present_files


def _check_missing(
    rows: list[Row],
    present_files: dict[str, tuple[Path, int]],
    table: Path,
    folders: list[Path],
    missing: Literal["error", "skip"],
) -> None:
    if present_files and missing == "skip":
        return
    first = next(row.name for row in rows if row.name not in present_files)
    looked = ", ".join(map(str, folders))
    hint = (
        "use those that are there with --dataset chestxray8:missing=skip"
        if present_files
        else _NEEDS
    )
    raise gvr.DataError(
        f"{len(rows) - len(present_files):,} of the {len(rows):,} images named in {table} "
        f"are not on disk, "
        f"the first is {first}; looked in {looked}; {hint}"
    )


def _official(lists: list[Path], rows: list[Row], root: Path) -> set[str] | None:
    """The test images of the official lists. Raises `DataError` where the lists do not fit."""
    if not lists:
        return None
    if len(lists) == 1:
        raise gvr.DataError(
            f"{lists[0]} is there alone: put {_TRAIN_LIST} and {_TEST_LIST} beside each other, "
            "or neither"
        )
    train, test = (read_names(path, root) for path in lists)
    train_path, test_path = lists
    both = train & test
    if both:
        raise gvr.DataError(f"{train_path} and {test_path} both name {min(both)}")
    neither = [row.name for row in rows if row.name not in train and row.name not in test]
    if neither:
        raise gvr.DataError(
            f"{len(neither):,} images are in neither {train_path} nor {test_path}, "
            f"the first is {neither[0]}"
        )
    crossing = {r.patient for r in rows if r.name in train} & {
        r.patient for r in rows if r.name in test
    }
    if crossing:
        raise gvr.DataError(
            f"{train_path} and {test_path} both have images of patient {min(crossing)}; "
            "a patient must be in one of them"
        )
    return test


def _digest(sources: list[Path], present_files: dict[str, tuple[Path, int]]) -> str:
    digest = hashlib.sha256()
    for path in sources:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    for name in sorted(present_files):
        digest.update(f"{name} {present_files[name][1]}\n".encode())
    return digest.hexdigest()
