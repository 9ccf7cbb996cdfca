"""Image files that a table names: their names, their places inside one folder, their sizes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import gvr_bench.api as gvr
from gvr_datasets.csv_reader import is_plain, stay_inside


def check_name(cell: str, where: str) -> str:
    """Return one spelling of a path that stays in the folder. Raises `DataError`."""
    path = PurePosixPath(cell)
    leaves = not path.parts or path.is_absolute() or ".." in path.parts or set(cell) & set("\\:")
    if leaves or not is_plain(cell):
        raise gvr.DataError(
            f"{where}: {cell!r} is not the path of an image inside the folder, like images/1.png"
        )
    return str(path)


def check_patient(patient: str, name: str, where: str) -> str:
    """Return the patient of an image. Raises `DataError` where it cannot be shown."""
    if not patient:
        raise gvr.DataError(f"{where}: {name!r} has no patient")
    if not is_plain(patient):
        raise gvr.DataError(f"{where}: patient {patient!r} holds signs that cannot be shown")
    return patient


def find_sizes(names: Iterable[str], table: Path, root: Path) -> dict[str, int]:
    """Sizes in bytes of all files that a table names. Raises `DataError` where some are absent."""
    names = list(names)
    for folder in {(root / name).parent for name in names}:
        stay_inside(folder, root)
    sizes = {name: _size(root / name, root) for name in names}
    absent = [name for name, size in sizes.items() if size is None]
    if absent:
        raise gvr.DataError(
            f"{len(absent):,} of the {len(sizes):,} images named in {table} are not on disk, the "
            f"first is {str(root / absent[0])!r}; add them, or remove their rows"
        )
    return {name: size for name, size in sizes.items() if size is not None}


def digest_sizes(table: bytes, sizes: Mapping[str, int]) -> str:
    """Digest of a table, and of the names and sizes of its images in any order."""
    digest = hashlib.sha256(table)
    for name in sorted(sizes):
        digest.update(f"\n{name} {sizes[name]}".encode())
    return digest.hexdigest()


def _size(path: Path, root: Path) -> int | None:
    """Size in bytes; None where there is no such file."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            found = stay_inside(path, root).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
