"""Tables read by the names of their columns, and the image files that they name."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import gvr_bench.api as gvr

_LARGEST = 2**28  # bytes; the table of all 112,120 radiographs of the NIH takes 8 MB


def stay_inside(path: Path, root: Path) -> Path:
    """Return `path` if it leads to a place in `root`, links followed.

    Raises `DataError` that says where else it leads.
    """
    # realpath, for Path.resolve raises on a loop of links.
    target, folder = os.path.realpath(path), os.path.realpath(root)
    if not Path(target).is_relative_to(folder):
        raise gvr.DataError(
            f"{path} is a link out of {root}, to {target}; put the file itself there, or give the "
            "folder that holds everything with --data-root DIR"
        )
    return path


def is_plain(text: str) -> bool:
    """Whether a text can be shown: no control, formatting or line-breaking characters."""
    return text.isprintable() or not any(
        unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for sign in text
    )


# What pandas.read_csv takes for an empty cell.
MISSING = frozenset((
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
))  # fmt: skip


def read_text(path: Path, root: Path) -> str:
    """Read UTF-8, with or without a byte order mark. Raises `DataError` naming the file."""
    try:
        size = stay_inside(path, root).stat().st_size
        if size > _LARGEST:
            raise gvr.DataError(
                f"{path} has {size:,} bytes, at most {_LARGEST:,} expected of a text file"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise gvr.DataError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise gvr.DataError(
            f"cannot read {path}: {error}; save it as UTF-8, in a spreadsheet as 'CSV UTF-8'"
        ) from error


def read_header(path: Path, root: Path) -> list[str]:
    """Read the names of the columns of a table. Raises `DataError` naming the file."""
    return _lines(path, root)[0]


def read_records(
    path: Path, root: Path, columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of `columns`, by the names in the header.

    Rows may end in further empty fields. What could mean lost or shifted rows is an error: a quote
    that is not closed, a row too short or too long. Raises `DataError` naming file and line.
    """
    header, lines = _lines(path, root)
    positions = _positions(path, header, columns)
    for line, fields in lines:
        where = f"{path}, line {line}"
        _check_row(fields, len(header), positions, where)
        yield line, [fields[position].strip() for position in positions]


def _lines(path: Path, root: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, then all other lines that are not empty, by their number."""
    text = read_text(path, root)
    first = text.partition("\n")[0]
    # A spreadsheet writes tabs or, where the decimal sign is a comma, semicolons.
    between = next((sign for sign in ",\t;" if sign in first), ",")
    reader = csv.reader(io.StringIO(text), delimiter=between, strict=True)
    try:
        lines = [(reader.line_num, fields) for fields in reader if any(fields)]
    except csv.Error as error:
        raise gvr.DataError(f"{path}, line {reader.line_num}: {error}") from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    return header, lines[1:]


def _positions(path: Path, header: list[str], columns: tuple[str, ...]) -> list[int]:
    absent = [name for name in columns if name not in header]
    if absent:
        raise gvr.DataError(
            f"{path} has no column {', '.join(map(repr, absent))}; "
            f"its first line reads {','.join(header)[:200]!r}"
        )
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise gvr.DataError(f"{path} has two columns {twice[0]!r}; remove one of them")
    return [header.index(name) for name in columns]


def _check_row(fields: list[str], width: int, positions: list[int], where: str) -> None:
    least = max(positions) + 1
    if len(fields) < least:
        raise gvr.DataError(f"{where}, has {len(fields)} fields, at least {least} expected")
    if any(field.strip() for field in fields[width:]):
        raise gvr.DataError(
            f"{where}, has {len(fields)} fields where the first line has {width}; put a field with "
            "a separator between quotes"
        )
    # A quote that is never closed takes in the rows after it, up to the next quote.
    if any("\n" in field for i, field in enumerate(fields) if i not in positions):
        raise gvr.DataError(f"{where}: a field goes over several lines; close its quote")


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
    if patient in MISSING:
        raise gvr.DataError(f"{where}: {name!r} has no patient")
    if not is_plain(patient):
        raise gvr.DataError(f"{where}: patient {patient!r} holds signs that cannot be shown")
    return patient


def find_sizes(names: Iterable[str], table: Path, root: Path) -> dict[str, int]:
    """Sizes in bytes of all files that a table names. Raises `DataError` where some are absent."""
    names = list(names)
    for folder in {name.rpartition("/")[0] for name in names}:
        stay_inside(root / folder, root)
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
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            info = stay_inside(path, root).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None
