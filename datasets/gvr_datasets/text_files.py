"""Text files and tables read by the names of their columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import gvr_bench.api as gvr


def read_text(path: Path) -> str:
    """Read UTF-8, with or without a byte order mark. Raises `DataError` naming the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise gvr.DataError(f"cannot read {path}: {error}") from error


def read_records(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of `columns`, by the names in the header.

    Rows may end in further empty fields, so only a row too short for `columns` is an error.
    Raises `DataError` naming the file and the line.
    """
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        lines = [(reader.line_num, fields) for fields in reader if any(fields)]
    except csv.Error as error:
        raise gvr.DataError(f"{path}, line {reader.line_num}: {error}") from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    absent = [name for name in columns if name not in header]
    if absent:
        raise gvr.DataError(
            f"{path} has no column {', '.join(map(repr, absent))}; "
            f"its first line reads {','.join(header)[:200]!r}"
        )
    positions = [header.index(name) for name in columns]
    least = max(positions) + 1
    for line, fields in lines[1:]:
        if len(fields) < least:
            raise gvr.DataError(
                f"{path}, line {line}, has {len(fields)} fields, at least {least} expected"
            )
        yield line, [fields[position].strip() for position in positions]
