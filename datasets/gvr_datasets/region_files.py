"""Regions from a table of boxes, from ChestX-Det, and from the tables in torchxrayvision."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import gvr_bench.api as gvr
from gvr_datasets.image_tables import MISSING, check_name, read_header, read_records, read_text
from gvr_datasets.regions import Polygon, Region, Regions, Runs, box, key_of

_EDGE = 1024  # pixels of the releases of NIH, RSNA and SIIM
_CORNERS = (("x_min", "y_min", "x_max", "y_max"), ("xmin", "ymin", "xmax", "ymax"),
            ("x1", "y1", "x2", "y2"))  # fmt: skip
_EXTENTS = (("x", "y", "w", "h"), ("x", "y", "width", "height"))
_FINDINGS = ("finding", "label", "class_name", "class")
Located = Iterator[tuple[str, Region]]


class _Table(NamedTuple):
    """A table of torchxrayvision: its file, how to read its rows, and in which pixels it is."""

    file: str
    read: Callable[[csv.DictReader[str]], Located]
    extent: tuple[int, int] | None


def read_regions(root: Path, source: str, file_column: str) -> Regions:
    """Read the regions of a file in the folder, or of torchxrayvision's table of that name.

    Raises `DataError`, or `UsageError` where torchxrayvision is not installed.
    """
    if source in TABLES:
        return _packaged(TABLES[source], source)
    path = root / check_name(source, "the setting regions")
    if not path.is_file():
        raise gvr.DataError(
            f"there is no file {path}; regions is a CSV file of boxes, a JSON file of ChestX-Det, "
            f"or a table of torchxrayvision: {', '.join(TABLES)}"
        )
    json_file = path.suffix.lower() == ".json"
    regions = _chestx_det(path, root) if json_file else _boxes(path, root, file_column)
    extent = (_EDGE, _EDGE) if json_file else None
    return _collect(regions, extent, not json_file, path.read_bytes())


def _collect(
    regions: Located, extent: tuple[int, int] | None, by_path: bool, content: bytes
) -> Regions:
    of: dict[str, list[Region]] = {}
    for name, region in regions:
        of.setdefault(key_of(name, by_path), []).append(region)
    return Regions(of, extent, by_path, hashlib.sha256(content).hexdigest())


def _boxes(path: Path, root: Path, file_column: str) -> Located:
    """Yield the boxes of a table, by corners or by corner and extent."""
    header = read_header(path, root)
    columns = next((c for c in (*_CORNERS, *_EXTENTS) if set(c) <= set(header)), None)
    if columns is None:
        raise gvr.DataError(
            f"{path} has no columns x, y, w, h or x_min, y_min, x_max, y_max; its first line reads "
            f"{','.join(header)[:200]!r}"
        )
    finding = next((name for name in _FINDINGS if name in header), None)
    names = (file_column, *columns, *((finding,) if finding else ()))
    for line, (name, *fields) in read_records(path, root, names):
        if set(fields[:4]) <= MISSING:
            continue  # an image without a box
        try:
            a, b, c, d = map(float, fields[:4])
        except ValueError as error:
            raise gvr.DataError(f"{path}, line {line}: {error}; a box is four numbers") from error
        w, h = (c - a, d - b) if columns in _CORNERS else (c, d)
        if not (w > 0 and h > 0):
            raise gvr.DataError(f"{path}, line {line}: the box {w:g} x {h:g} is empty")
        yield name, Region(fields[4] if finding else "", box(a, b, w, h))


def _chestx_det(path: Path, root: Path) -> Located:
    """Yield the polygons of ChestX-Det, in pixels of the NIH release (Lian et al. 2021)."""
    try:
        for entry in json.loads(read_text(path, root)):
            for finding, corners in zip(entry["syms"], entry["polygons"], strict=True):
                shape = Polygon(tuple((float(x), float(y)) for x, y in corners))
                yield str(entry["file_name"]), Region(str(finding), shape)
    except (ValueError, KeyError, TypeError) as error:
        raise gvr.DataError(
            f"cannot read {path}: {error}; entries with file_name, syms and polygons expected, as "
            "in ChestX_Det_train.json"
        ) from error


def _packaged(table: _Table, source: str) -> Regions:
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        raise gvr.UsageError(
            f"regions={source} needs torchxrayvision: pip install 'gvr-bench[xray]'"
        )
    path = Path(spec.origin).parent / "data" / table.file
    try:
        content = path.read_bytes()
        rows = csv.DictReader(io.StringIO(_unpack(content, path.suffix)))
        return _collect(table.read(rows), table.extent, False, content)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise gvr.DataError(
            f"cannot read {path}: {error}; install torchxrayvision again"
        ) from error


def _unpack(content: bytes, suffix: str) -> str:
    if suffix == ".gz":
        return gzip.decompress(content).decode()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return archive.read(name).decode()


def _rsna(rows: csv.DictReader[str]) -> Located:
    for row in rows:
        if row["x"]:
            x, y, w, h = (float(row[name]) for name in ("x", "y", "width", "height"))
            yield row["patientId"], Region("Pneumonia", box(x, y, w, h))


def _vindr(rows: csv.DictReader[str]) -> Located:
    for row in rows:
        if row["x_min"]:
            x, y, right, low = (float(row[n]) for n in ("x_min", "y_min", "x_max", "y_max"))
            yield row["image_id"], Region(row["class_name"], box(x, y, right - x, low - y))


def _siim(rows: csv.DictReader[str]) -> Located:
    for row in rows:
        lengths = [int(number) for number in row[" EncodedPixels"].split()]
        if lengths != [-1]:
            pairs = tuple(zip(lengths[::2], lengths[1::2], strict=True))
            yield row["ImageId"], Region("Pneumothorax", Runs(pairs))


def _nih(rows: csv.DictReader[str]) -> Located:
    for row in rows:
        fields = list(row.values())
        name, finding, (x, y, w, h) = fields[0], fields[1], map(float, fields[2:6])
        finding = "Infiltration" if finding == "Infiltrate" else finding
        yield name, Region(finding, box(x, y, w, h))


TABLES = {
    "rsna": _Table("kaggle_stage_2_train_labels.csv.zip", _rsna, (_EDGE, _EDGE)),
    "vindr": _Table("vinbigdata-train.csv.gz", _vindr, None),
    "siim": _Table("siim-pneumothorax-train-rle.csv.gz", _siim, (_EDGE, _EDGE)),
    "nih": _Table("BBox_List_2017.csv.gz", _nih, (_EDGE, _EDGE)),
}
