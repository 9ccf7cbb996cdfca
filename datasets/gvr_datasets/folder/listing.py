"""The images of a folder with their labels, from a table or from subfolders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import gvr_bench.api as gvr
from gvr_datasets.folder.rows import SPLIT_NAMES, SPLITS, Listing, Row
from gvr_datasets.folder.subfolders import read_subfolders, read_unlabelled
from gvr_datasets.image_tables import (
    MISSING,
    check_name,
    check_patient,
    digest_sizes,
    find_sizes,
    is_plain,
    read_header,
    read_records,
)
from gvr_datasets.patients import UNKNOWN, patient_of_file, shared_beginnings, unify_patients

CLASS = "class"  # the one column of a folder without a table
_FILE_COLUMNS = ("filename", "file_name", "image", "image_path", "path", "image_id", "image_index")


class Columns(NamedTuple):
    """The names of the columns with a meaning of their own."""

    file: str = "file"
    patient: str = "patient"
    split: str = "split"
    mask: str = "mask"
    lung_mask: str = "lung_mask"


class Source(NamedTuple):
    """The table of a folder: its file, its columns, and the folder of the images that it names.

    `lung_masks` is a folder with masks named like the images, for those without one in the table;
    `separator` ends the patient in the names of files.
    """

    table: str = "table.csv"
    columns: Columns = Columns()
    images: str = ""
    lung_masks: str = ""
    separator: str = ""


def open_listing(
    root: Path | None, source: Source, targets: tuple[str, ...], *, labelled: bool = True
) -> Listing:
    """Read everything but the images. Raises `DataError`.

    Where images need not be `labelled`, all below a folder without a table count.
    """
    needs = (
        f"it needs {source.table} with the columns {source.columns.file}, {source.columns.patient} "
        "and what is to be predicted, or one subfolder of images per class; give the folder with "
        "--data-root DIR, or run now without it: gvr-bench run --dataset phantom"
    )
    if root is None:
        raise gvr.DataError(f"the data set 'folder' was given no folder to look in; {needs}")
    path = root / check_name(source.table, "the setting table")
    masks = _mask_folder(root, source.lung_masks)
    if path.is_file():
        return _unified(_open_table(path, root, source, targets if labelled else None))
    read = read_subfolders if labelled else read_unlabelled
    layout = read(root, masks) if root.is_dir() else None
    if layout is None or not layout.rows:
        more = "".join(f" ({line})" for line in layout.cautions[:1]) if layout else ""
        raise gvr.DataError(
            f"no {source.table} in {root}, and no subfolders with images{more}; {needs}"
        )
    if targets not in ((), (CLASS,)):
        raise gvr.DataError(f"no {source.table} in {root}, and targets name columns of it; {needs}")
    listing = Listing(root, root, (CLASS,) if labelled else (), layout.rows, "", layout.cautions)
    return _complete(_name_patients(listing, source.separator), masks)


def _mask_folder(root: Path, name: str) -> Path | None:
    """Return the folder of masks of lungs, None where none is named. Raises `DataError`."""
    if not name:
        return None
    folder = root / check_name(name, "the setting lung_masks")
    if not folder.is_dir():
        raise gvr.DataError(f"no folder {folder}, which lung_masks={name} names")
    return folder


def _complete(listing: Listing, masks: Path | None) -> Listing:
    """Add masks of lungs from their folder, and the digest. Raises `DataError` for absent files."""
    root, source, rows = listing.root, listing.source, listing.rows
    if masks:
        rows = [replace(row, lung_mask=row.lung_mask or _mask_of(row, root, masks)) for row in rows]
    files = [name for row in rows for name in (row.name, *row.masks, row.lung_mask) if name]
    table = source.read_bytes() if source.is_file() else b""
    digest = digest_sizes(table, find_sizes(dict.fromkeys(files), source, root))
    return replace(listing, rows=rows, digest=digest)


def _mask_of(row: Row, root: Path, masks: Path) -> str:
    """Name the mask of an image, or of its file alone, by its name; empty where there is none."""
    name = Path(row.name).with_suffix(".png")
    for path in (masks / name, masks / name.name):
        if path.is_file():
            return path.relative_to(root).as_posix()
    return ""


def _name_patients(listing: Listing, separator: str) -> Listing:
    """Take patients from the names of files, or say that they are not known."""
    names = [row.name for row in listing.rows]
    patients = [patient_of_file(name, separator) if separator else name for name in names]
    rows = [replace(r, patient=patient) for r, patient in zip(listing.rows, patients, strict=True)]
    if patients != names:
        return replace(listing, rows=rows)
    line = shared_beginnings(names) or (
        f"{UNKNOWN}where a patient has several images, write a table with a column patient"
    )
    return replace(listing, cautions=(*listing.cautions, line))


def _open_table(path: Path, root: Path, source: Source, targets: tuple[str, ...] | None) -> Listing:
    """Read a table; `targets` are () for all columns, and None where there are none."""
    header = read_header(path, root)
    _check_file_column(path, header, source.columns.file)
    columns: tuple[str, ...] = ()
    if targets is not None:
        columns = targets or tuple(name for name in header if name and name not in source.columns)
        if not columns:
            raise gvr.DataError(
                f"{path} has no column of labels; its first line reads {','.join(header)[:200]!r}; "
                "to use the images without labels, add task=none"
            )
    odd = [name for name in columns if name in source.columns or not is_plain(name)]
    if odd:
        raise gvr.DataError(f"{path}: the column {odd[0]!r} cannot be a target")
    rows, words = _read_rows(path, root, source, columns)
    listing = Listing(root, path, columns, rows, "", tuple(_missing_words(words)))
    if source.columns.patient not in header:
        listing = _name_patients(listing, source.separator)
    elif source.separator:
        raise gvr.UsageError(
            f"patient_separator={source.separator}, and {path} has a column of patients; leave out "
            "one of them"
        )
    return _complete(listing, _mask_folder(root, source.lung_masks))


def _check_file_column(path: Path, header: list[str], file: str) -> None:
    """Refuse a table without the column of files, and name the one that is meant, if any."""
    if file in header:
        return
    alike = next((name for name in header if name.lower().replace(" ", "_") in _FILE_COLUMNS), "")
    raise gvr.DataError(
        f"{path} has no column {file!r}; its first line reads {','.join(header)[:200]!r}; say "
        f"which column names the images with --dataset folder:file={alike or 'COLUMN'}"
    )


def _read_rows(
    path: Path, root: Path, source: Source, columns: tuple[str, ...]
) -> tuple[list[Row], Counter[str]]:
    """Read the table in its order, and count the words that stand for an empty target cell.

    Columns that the settings name must be there; by their default names they need not.
    """
    header, (file, *optional) = read_header(path, root), source.columns
    defaults = Columns()[1:]
    special = [name for name in optional if name in header or name not in defaults]
    find = Files(root, source.images)
    rows: dict[str, Row] = {}
    words: Counter[str] = Counter()
    for line, (cell, *fields) in read_records(path, root, (file, *special, *columns)):
        where = f"{path}, line {line}"
        name = find(check_name(cell, where))
        if name in rows:
            raise gvr.DataError(f"{where}: {name!r} has a row already; one row per image expected")
        of = {k: "" if v in MISSING else v for k, v in zip(special, fields, strict=False)}
        patient = check_patient(of.get(source.columns.patient, name), name, where)
        split = _split(of[source.columns.split], where) if source.columns.split in of else ""
        mask, lung_mask = (
            check_name(of[column], where) if of.get(column) else ""
            for column in (source.columns.mask, source.columns.lung_mask)
        )
        targets = fields[len(special) :]
        words.update(cell for cell in targets if cell in MISSING)
        rows[name] = Row(
            where,
            name,
            patient,
            tuple("" if cell in MISSING else cell for cell in targets),
            split,
            (mask,) if mask else (),
            lung_mask,
        )
    if not rows:
        raise gvr.DataError(f"{path} has a header but no rows")
    return list(rows.values()), words


class Files:
    """Finds the files that a table names in a folder, where it leaves out the suffix as well."""

    def __init__(self, root: Path, folder: str) -> None:
        self.root = root
        self.folder = check_name(folder, "the setting images") if folder else ""
        self.stems: dict[str, dict[str, str]] = {}

    def __call__(self, name: str) -> str:
        """Return the path in the root of a file; as it is where there is none."""
        path = PurePosixPath(self.folder, name)
        if (self.root / path).is_file():
            return str(path)
        if (folder := str(path.parent)) not in self.stems:
            at = self.root / folder
            files = sorted(at.iterdir()) if at.is_dir() else []
            self.stems[folder] = {file.stem: file.name for file in files}
        return str(path.parent / self.stems[folder].get(path.name, path.name))


def _missing_words(words: Counter[str]) -> Iterator[str]:
    """Say which words, that may be a class as well, are taken for empty cells."""
    for text in ("None", "NA", "N/A", "n/a", "NULL", "null"):
        if words[text]:
            yield (
                f"{words[text]:,} cells {text!r} are taken for empty ones, as pandas does; if it "
                "is a class, write another word, such as 'normal'"
            )


def _unified(listing: Listing) -> Listing:
    """Give the patients of a table one spelling each."""
    spelling, cautions = unify_patients(row.patient for row in listing.rows)
    rows = [replace(row, patient=spelling[row.patient]) for row in listing.rows]
    return replace(listing, rows=rows, cautions=(*listing.cautions, *cautions))


def _split(cell: str, where: str) -> str:
    split = SPLIT_NAMES.get(cell.strip().lower())
    if split is None:
        raise gvr.DataError(f"{where}: split {cell!r} is none of {', '.join(SPLITS)}")
    return split
