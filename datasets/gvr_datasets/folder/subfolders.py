"""Images in one subfolder per class, below folders of splits or above them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gvr_bench.api as gvr
from gvr_datasets.folder.rows import SPLIT_NAMES, Row
from gvr_datasets.image_tables import check_name, is_plain, stay_inside

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")
_NO_CLASSES = {"images", "imgs", "masks", "labels", "annotations", "segmentations"}
_MASK = re.compile(r"(.+)_mask(_\d+)?")
_MAX_KINDS = 4  # of files, in one line


@dataclass
class Files:
    """The files below a folder, by the subfolder of it that they lie in.

    `images` and `others` are relative to the folder; hidden files and folders are in neither.
    """

    folder: Path
    images: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)

    @property
    def inside(self) -> list[str]:
        """Subfolders with images, in order."""
        return sorted(name for name in self.images if name)

    def below(self, name: str) -> Files:
        """The files of one subfolder, by its own subfolders."""
        part = Files(self.folder / name)
        for group, mine in ((self.images, part.images), (self.others, part.others)):
            for path in group.get(name, ()):
                rest = path.split("/", 1)[1]
                mine.setdefault(rest.split("/")[0] if "/" in rest else "", []).append(rest)
        return part


@dataclass(frozen=True)
class Subfolders:
    """The rows of all images, and what was left out or taken for something else."""

    rows: list[Row]
    cautions: tuple[str, ...]


def read_unlabelled(root: Path, left_out: Path | None) -> Subfolders:
    """Read all images below a folder, but for those in the subfolder `left_out`."""
    files = _walk(root, left_out)
    paths = [check_name(path, str(root)) for group in files.images.values() for path in group]
    rows, masks = _pair_masks([Row(str(root / path), path, path, ()) for path in sorted(paths)])
    return Subfolders(rows, (*_left_out(files), *masks))


def read_subfolders(root: Path, left_out: Path | None) -> Subfolders:
    """Read images in subfolders named after their class, and after splits if there are any.

    Splits may lie above or below classes; the subfolder `left_out` is no class. Raises `DataError`
    for a layout that fits no reading.
    """
    files = _walk(root, left_out)
    splits = _splits_of(files)
    if splits:
        parts = [(split, name, files.below(name)) for name, split in splits.items()]
        _refuse_outside_splits(files, splits)
        rows = [
            row
            for split, name, part in parts
            for label in part.inside
            for row in _of_class(root, f"{name}/", part, label, split)
        ]
        loose = [f"{name}/{path}" for _, name, part in parts for path in part.images.get("", ())]
        empty = [line for _, name, part in parts for line in _empty(part, f"{name}/")]
    else:
        _refuse_no_classes(files)
        rows = [row for label in files.inside for row in _by_class(root, files, label)]
        loose, empty = [], list(_empty(files, ""))
    rows, masks = _pair_masks(rows)
    loose += files.images.get("", [])
    cautions = (*_left_out(files), *empty, *_loose(loose), *masks)
    return Subfolders(sorted(rows, key=lambda row: row.name), cautions)


def _walk(root: Path, left_out: Path | None) -> Files:
    files = Files(root)
    followed: set[str] = set()
    for at, folders, names in os.walk(root, followlinks=True):
        folders[:] = [
            name
            for name in sorted(folders)
            if Path(at, name) != left_out and _is_entered(Path(at, name), root, followed)
        ]
        inside = os.path.relpath(at, root).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        top = prefix.split("/")[0]
        for name in names:
            if not name.startswith("."):
                group = files.images if _is_image(at, name) else files.others
                group.setdefault(top, []).append(prefix + name)
    return files


def _is_entered(folder: Path, root: Path, followed: set[str]) -> bool:
    """Whether a folder is not hidden and no link that was followed before. Raises `DataError`."""
    if folder.name.startswith("."):
        return False
    if not folder.is_symlink():
        return True
    target = os.path.realpath(stay_inside(folder, root))
    known = target in followed or Path(os.path.realpath(folder.parent)).is_relative_to(target)
    followed.add(target)
    return not known


def _is_image(folder: str, name: str) -> bool:
    if name.lower().endswith(_SUFFIXES):
        return True
    path = Path(folder, name)
    return path.is_file() and gvr.is_image(path)


def _splits_of(files: Files) -> dict[str, str]:
    """Folders of splits that hold folders of classes; empty where there are none.

    Raises `DataError` where folders named after splits hold images and no classes.
    """
    named = {
        name: SPLIT_NAMES[name.lower()] for name in files.inside if name.lower() in SPLIT_NAMES
    }
    bare = [name for name in named if not files.below(name).inside]
    others = [name for name in files.inside if name not in named]
    if "train" not in named.values():
        if len(set(named.values())) > 1 and not others:
            raise gvr.DataError(
                f"{files.folder} has the folders {' and '.join(named)} and none called train; "
                "rename the folder of training images, or write a table with a column split"
            )
        return {}
    if len(bare) == len(named) and others:
        return {}  # a class called train
    if bare:
        raise gvr.DataError(
            f"{files.folder / bare[0]} holds images and no folders of classes; put the images of "
            "each class into a subfolder of it, or write a table with the columns file, split and "
            "what is to be predicted"
        )
    return named


def _refuse_outside_splits(files: Files, splits: dict[str, str]) -> None:
    foreign = [name for name in files.inside if name not in splits]
    if foreign:
        raise gvr.DataError(
            f"{files.folder} has folders of splits and, beside them, {foreign[0]!r} with images: "
            "move it out of the way, or rename it to train, validation or test"
        )


def _refuse_no_classes(files: Files) -> None:
    """Refuse folders that are no classes. Raises `DataError`."""
    folders = files.inside
    odd = [name for name in folders if name.lower() in _NO_CLASSES]
    if odd:
        raise gvr.DataError(
            f"{files.folder}: {odd[0]!r} is no class; write a table with the columns file, mask "
            "and what is to be predicted"
        )
    if len(folders) == 1 and len(files.below(folders[0]).inside) > 1:
        raise gvr.DataError(
            f"all images of {files.folder} lie in {folders[0]!r}; give that folder: --data-root "
            f"{files.folder / folders[0]}"
        )


def _by_class(root: Path, files: Files, label: str) -> Iterator[Row]:
    """Yield the rows of a class, by split where it holds folders of splits."""
    inside = files.below(label)
    splits = {name: SPLIT_NAMES.get(name.lower(), "") for name in inside.inside}
    if "train" not in splits.values():
        yield from _of_class(root, "", files, label, "")
        return
    foreign = [name for name, split in splits.items() if not split]
    if foreign or "" in inside.images:
        where = files.folder / label
        raise gvr.DataError(
            f"{where} has folders of splits and, beside them, "
            f"{repr(foreign[0]) if foreign else 'images'}; move images into train, validation or "
            "test"
        )
    for name, split in splits.items():
        for path in inside.images[name]:
            yield _row(root, f"{label}/{path}", label, split)


def _of_class(root: Path, prefix: str, files: Files, label: str, split: str) -> Iterator[Row]:
    for path in files.images[label]:
        yield _row(root, prefix + path, label, split)


def _row(root: Path, path: str, label: str, split: str) -> Row:
    if not is_plain(label):
        raise gvr.DataError(f"{root}: {label!r} holds signs that cannot be shown")
    name = check_name(path, str(root))
    return Row(f"{root}/{path}", name, name, (label,), split)


def _pair_masks(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Take `a_mask.png` and `a_mask_1.png` beside `a.png` for masks of it."""
    by_stem = {_stem(row): row for row in rows}
    masks: dict[str, list[str]] = {}
    for row in rows:
        match = _MASK.fullmatch(_stem(row))
        if match and match[1] in by_stem:
            masks.setdefault(by_stem[match[1]].name, []).append(row.name)
    taken = {name for names in masks.values() for name in names}
    paired = [
        Row(row.where, row.name, row.patient, row.cells, row.split, tuple(masks.get(row.name, ())))
        for row in rows
        if row.name not in taken
    ]
    if not taken:
        return paired, []
    return paired, [
        f"{len(taken):,} files such as {min(taken)!r} are taken for masks of the images"
    ]


def _stem(row: Row) -> str:
    folder, slash, name = row.name.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _left_out(files: Files) -> Iterator[str]:
    others = [path for paths in files.others.values() for path in paths]
    if others:
        kinds = Counter(Path(path).suffix.lower() or "no suffix" for path in others)
        shown = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(_MAX_KINDS))
        yield (
            f"{len(others):,} files are left out, for they are no PNG, JPEG, TIFF or DICOM "
            f"({shown}); the first is {min(others)!r}"
        )


def _empty(files: Files, prefix: str) -> Iterator[str]:
    for name in sorted(files.others):
        if name and name not in files.images:
            yield f"the folder {prefix + name!r} holds no image, so that it is no class"


def _loose(paths: list[str]) -> Iterator[str]:
    if paths:
        yield (
            f"{len(paths):,} images lie in no folder of a class and are left out; the first is "
            f"{min(paths)!r}"
        )
