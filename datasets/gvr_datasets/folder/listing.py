"""The images of a folder with their labels, from a table or from subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gvr_bench.api as gvr
from gvr_datasets.image_tables import (
    check_name,
    check_patient,
    digest_sizes,
    find_sizes,
    is_plain,
    read_header,
    read_records,
    stay_inside,
)

RESERVED = ("file", "patient", "split", "mask")
SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm"}
CLASS = "class"  # the one column of a folder without a table


@dataclass(frozen=True)
class Row:
    """One image: where the table names it, its patient, and a cell for each target column.

    `split` and `mask` may be empty.
    """

    where: str
    name: str
    patient: str
    cells: tuple[str, ...]
    split: str
    mask: str


@dataclass(frozen=True)
class Listing:
    """The images of a folder in order, and a digest that does not depend on `root`."""

    root: Path
    source: Path
    columns: tuple[str, ...]
    rows: list[Row]
    digest: str


def open_listing(root: Path | None, table: str, targets: tuple[str, ...]) -> Listing:
    """Read everything but the images. Raises `DataError`."""
    needs = (
        f"it needs {table} with the columns file, patient and what is to be predicted, or one "
        "subfolder of images per class; give the folder with --data-root DIR, or run now without "
        "it: gvr-bench run --dataset phantom"
    )
    if root is None:
        raise gvr.DataError(f"the data set 'folder' was given no folder to look in; {needs}")
    path = root / check_name(table, "the setting table")
    if path.is_file():
        return _open_table(path, root, targets)
    rows = sorted(_from_subfolders(root), key=lambda row: row.name) if root.is_dir() else []
    if not rows:
        raise gvr.DataError(f"no {table} in {root}, and no subfolders with images; {needs}")
    if targets not in ((), (CLASS,)):
        raise gvr.DataError(f"no {table} in {root}, and targets name columns of it; {needs}")
    sizes = find_sizes((row.name for row in rows), root, root)
    return Listing(root, root, (CLASS,), rows, digest_sizes(b"", sizes))


def _open_table(path: Path, root: Path, targets: tuple[str, ...]) -> Listing:
    header = read_header(path, root)
    columns = targets or tuple(name for name in header if name and name not in RESERVED)
    if not columns:
        raise gvr.DataError(
            f"{path} has no column of labels; its first line reads {','.join(header)[:200]!r}"
        )
    odd = [name for name in columns if name in RESERVED or not is_plain(name)]
    if odd:
        raise gvr.DataError(f"{path}: the column {odd[0]!r} cannot be a target")
    rows = _read_rows(path, root, columns, [name for name in RESERVED[1:] if name in header])
    files = [*(row.name for row in rows), *{row.mask for row in rows if row.mask}]
    sizes = find_sizes(dict.fromkeys(files), path, root)
    return Listing(root, path, columns, rows, digest_sizes(path.read_bytes(), sizes))


def _read_rows(path: Path, root: Path, columns: tuple[str, ...], reserved: list[str]) -> list[Row]:
    """Read the table in its order; `reserved` are its columns with a meaning of their own."""
    rows: dict[str, Row] = {}
    for line, (cell, *fields) in read_records(path, root, ("file", *reserved, *columns)):
        where = f"{path}, line {line}"
        name = check_name(cell, where)
        if name in rows:
            raise gvr.DataError(f"{where}: {name!r} has a row already; one row per image expected")
        cell_of = dict(zip(reserved, fields, strict=False))
        patient = check_patient(cell_of.get("patient", name), name, where)
        split = _split(cell_of["split"], where) if "split" in cell_of else ""
        mask = check_name(cell_of["mask"], where) if cell_of.get("mask") else ""
        rows[name] = Row(where, name, patient, tuple(fields[len(reserved) :]), split, mask)
    if not rows:
        raise gvr.DataError(f"{path} has a header but no rows")
    return list(rows.values())


def _split(cell: str, where: str) -> str:
    split = _SPLIT_NAMES.get(cell.strip().lower())
    if split is None:
        raise gvr.DataError(f"{where}: split {cell!r} is none of {', '.join(SPLITS)}")
    return split


def _from_subfolders(root: Path) -> Iterator[Row]:
    """Yield the images in subfolders named after their class, below folders of splits if there
    are any.

    Raises `DataError` where folders of splits and others with images lie side by side.
    """
    folders = _subfolders(root)
    splits = {f: _SPLIT_NAMES[f.name.lower()] for f in folders if f.name.lower() in _SPLIT_NAMES}
    if "train" not in splits.values():
        yield from _of_classes(root, folders, "")
        return
    for folder in folders:
        if folder in splits:
            yield from _of_classes(root, _subfolders(folder), splits[folder])
        elif next(_images_below(folder), None) is not None:
            raise gvr.DataError(
                f"{root} has folders of splits and, beside them, {folder.name!r} with images: move "
                "it out of the way, or rename it to train, validation or test"
            )


def _of_classes(root: Path, folders: list[Path], split: str) -> Iterator[Row]:
    for folder in folders:
        if not is_plain(folder.name):
            raise gvr.DataError(f"{root}: {folder.name!r} holds signs that cannot be shown")
        for path in _images_below(stay_inside(folder, root)):
            name = check_name(path.relative_to(root).as_posix(), str(root))
            yield Row(str(path), name, name, (folder.name,), split, "")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images_below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(at, name)
            if path.suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield path
