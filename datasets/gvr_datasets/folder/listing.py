"""The images of a folder with their labels, from a table or from subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
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

RESERVED = ("file", "patient", "split", "mask", "lung_mask")
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

    `split`, `mask` and `lung_mask` may be empty.
    """

    where: str
    name: str
    patient: str
    cells: tuple[str, ...]
    split: str = ""
    mask: str = ""
    lung_mask: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a folder in order, and a digest that does not depend on `root`."""

    root: Path
    source: Path
    columns: tuple[str, ...]
    rows: list[Row]
    digest: str


def open_listing(
    root: Path | None,
    table: str,
    targets: tuple[str, ...],
    *,
    labelled: bool = True,
    lung_masks: str = "",
) -> Listing:
    """Read everything but the images. Raises `DataError`.

    Where images need not be `labelled`, all below a folder without a table count. `lung_masks` is
    a folder with masks named like the images.
    """
    needs = (
        f"it needs {table} with the columns file, patient and what is to be predicted, or one "
        "subfolder of images per class; give the folder with --data-root DIR, or run now without "
        "it: gvr-bench run --dataset phantom"
    )
    if root is None:
        raise gvr.DataError(f"the data set 'folder' was given no folder to look in; {needs}")
    path = root / check_name(table, "the setting table")
    masks = root / check_name(lung_masks, "the setting lung_masks") if lung_masks else None
    if masks and not masks.is_dir():
        raise gvr.DataError(f"no folder {masks}, which lung_masks={lung_masks} names")
    if path.is_file():
        return _open_table(path, root, targets, labelled, masks)
    finder = _from_subfolders if labelled else _from_anywhere
    rows = sorted(finder(root, masks), key=lambda row: row.name) if root.is_dir() else []
    if not rows:
        raise gvr.DataError(f"no {table} in {root}, and no subfolders with images; {needs}")
    if targets not in ((), (CLASS,)):
        raise gvr.DataError(f"no {table} in {root}, and targets name columns of it; {needs}")
    return _listing(root, root, (CLASS,) if labelled else (), rows, masks)


def _listing(
    root: Path, source: Path, columns: tuple[str, ...], rows: list[Row], masks: Path | None
) -> Listing:
    """Find the files of all rows. Raises `DataError` where some are absent."""
    if masks:
        rows = [replace(row, lung_mask=row.lung_mask or _mask_of(row, root, masks)) for row in rows]
    files = [*(row.name for row in rows)]
    files += [file for row in rows for file in (row.mask, row.lung_mask) if file]
    sizes = find_sizes(dict.fromkeys(files), source, root)
    table = source.read_bytes() if source.is_file() else b""
    return Listing(root, source, columns, rows, digest_sizes(table, sizes))


def _mask_of(row: Row, root: Path, masks: Path) -> str:
    """The mask with the name of an image, or of its file alone; empty where there is none."""
    name = Path(row.name).with_suffix(".png")
    for path in (masks / name, masks / name.name):
        if path.is_file():
            return path.relative_to(root).as_posix()
    return ""


def _open_table(
    path: Path, root: Path, targets: tuple[str, ...], labelled: bool, masks: Path | None
) -> Listing:
    header = read_header(path, root)
    columns = targets or tuple(name for name in header if name and name not in RESERVED)
    if not labelled:
        columns = ()
    elif not columns:
        raise gvr.DataError(
            f"{path} has no column of labels; its first line reads {','.join(header)[:200]!r}; "
            "to use the images without labels, add task=none"
        )
    odd = [name for name in columns if name in RESERVED or not is_plain(name)]
    if odd:
        raise gvr.DataError(f"{path}: the column {odd[0]!r} cannot be a target")
    rows = _read_rows(path, root, columns, [name for name in RESERVED[1:] if name in header])
    return _listing(root, path, columns, rows, masks)


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
        masks = (
            check_name(cell_of[column], where) if cell_of.get(column) else ""
            for column in ("mask", "lung_mask")
        )
        rows[name] = Row(where, name, patient, tuple(fields[len(reserved) :]), split, *masks)
    if not rows:
        raise gvr.DataError(f"{path} has a header but no rows")
    return list(rows.values())


def _split(cell: str, where: str) -> str:
    split = _SPLIT_NAMES.get(cell.strip().lower())
    if split is None:
        raise gvr.DataError(f"{where}: split {cell!r} is none of {', '.join(SPLITS)}")
    return split


def _from_anywhere(root: Path, masks: Path | None) -> Iterator[Row]:
    """Yield all images below the folder, but for those in `masks`."""
    for path in _images_below(root):
        if masks is None or not path.is_relative_to(masks):
            stay_inside(path, root)
            name = check_name(path.relative_to(root).as_posix(), str(root))
            yield Row(str(path), name, name, ())


def _from_subfolders(root: Path, masks: Path | None) -> Iterator[Row]:
    """Yield the images in subfolders named after their class, below folders of splits if there
    are any; `masks` is no class.

    Raises `DataError` where folders of splits and others with images lie side by side.
    """
    folders = [folder for folder in _subfolders(root) if folder != masks]
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
            yield Row(str(path), name, name, (folder.name,), split)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images_below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(at, name)
            if path.suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield path
