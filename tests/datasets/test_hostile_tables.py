"""Tables from anywhere: other encodings, stray quotes, signs that nobody sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gvr_datasets.chestxray8.tables import read_boxes, read_names, read_rows
from gvr_datasets.image_tables import read_records
from gvr_datasets.radiographs import read_rows as read_own_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gvr_bench.api as gvr

COLUMNS = ("file", "patient", "bnp")
FUZZ = settings(
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def read(path: Path) -> list[list[str]]:
    return [fields for _, fields in read_records(path, path.parent, COLUMNS)]


def fault(path: Path) -> str:
    with pytest.raises(gvr.DataError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def outcome(parse: Callable[[Path, Path], object], path: Path) -> str:
    """What a user reads, or what was read and where."""
    try:
        return f"{path}: {parse(path, path.parent)}"
    except gvr.DataError as error:
        return str(error)


# Separators, encodings and line ends


@pytest.mark.parametrize("between", ["\t", ";", ","])
def test_separators_of_spreadsheets_are_read(table: Path, between: str) -> None:
    table.write_text(between.join(COLUMNS) + "\n" + between.join(("a.png", "p1", "12")) + "\n")
    assert read(table) == [["a.png", "p1", "12"]]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32", "cp037"])
def test_other_encoding_suggests_utf8(table: Path, encoding: str) -> None:
    table.write_text("file,patient,bnp\na.png,Jürgen,12\n", encoding=encoding)
    line = fault(table)
    assert "save it as UTF-8" in line or "has no column 'file'" in line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_utf8_with_any_line_ends(table: Path, encoding: str, end: str) -> None:
    table.write_bytes(end.join(["file,patient,bnp", "a.png,Jürgen,12", ""]).encode(encoding))
    assert read(table) == [["a.png", "Jürgen", "12"]]


def test_oversized_table_is_refused(table: Path) -> None:
    with table.open("wb") as file:
        file.truncate(2**28 + 1)
    assert "268,435,457 bytes, at most 268,435,456 expected" in fault(table)


# Rows that could be lost or shifted


def test_unclosed_quote_is_refused(table: Path) -> None:
    table.write_text('file,patient,bnp,note\na.png,p1,12,"tall\nb.png,p2,13,\nc.png,p3,14,\n')
    assert "unexpected end of data" in fault(table)


def test_stray_quotes_are_refused(table: Path) -> None:
    table.write_text('file,patient,bnp,note\na.png,p1,12,"tall\nb.png,p2,13,short"\nc.png,p3,14,\n')
    assert "line 3: a field goes over several lines; close its quote" in fault(table)


def test_decimal_comma_is_refused(table: Path) -> None:
    table.write_text("file,patient,bnp\na.png,p1,12,5\n")
    assert "line 2, has 4 fields where the first line has 3" in fault(table)


def test_duplicate_column_is_refused(table: Path) -> None:
    table.write_text("file,patient,bnp,patient\na.png,p1,12,p2\n")
    assert "has two columns 'patient'" in fault(table)


def test_columns_may_change_places(table: Path) -> None:
    table.write_text('bnp,"file",patient\n12,a.png,p1\n')
    assert read(table) == [["a.png", "p1", "12"]]


# Signs that nobody sees


@pytest.mark.parametrize("sign", ["\0", "\x1b[2J", "\x07", "\u202e", "\u2028", "\x85", "\x7f"])
def test_unprintable_names_are_refused(table: Path, sign: str) -> None:
    for name, patient in ((f"a{sign}.png", "p1"), ("a.png", f"p{sign}1")):
        table.write_text(f"file,patient,bnp\n{name},{patient},12\n", encoding="utf-8")
        with pytest.raises(gvr.DataError) as caught:
            read_own_rows(table, table.parent)
        assert "line 2" in str(caught.value)
        assert str(caught.value).isprintable()
        table.write_text(
            f"Image Index,Finding Labels,Patient ID\n{name},Mass,{patient}\n", encoding="utf-8"
        )
        with pytest.raises(gvr.DataError) as caught:
            read_rows(table, table.parent)
        assert str(caught.value).isprintable()


def test_names_in_any_script_are_read(table: Path) -> None:
    table.write_text("file,patient,bnp\n胸部 1.png,Zoë,12\n", encoding="utf-8")
    assert [(row.name, row.patient) for row in read_own_rows(table, table.parent)] == [
        ("胸部 1.png", "Zoë")
    ]


@pytest.mark.parametrize("cell", ["1_000", "0x10", "1e400", "-0", "१२_३"])
def test_ambiguous_number_is_refused(table: Path, cell: str) -> None:
    table.write_text(f"file,patient,bnp\na.png,p1,{cell}\n", encoding="utf-8")
    with pytest.raises(gvr.DataError, match="is not a positive number of ng/L"):
        read_own_rows(table, table.parent)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", r"..\..\x", "a\0b"])
def test_image_list_stays_inside_folder(table: Path, name: str) -> None:
    table.write_text(f"a.png\n{name}\n")
    with pytest.raises(gvr.DataError, match="is not the plain name of an image file"):
        read_names(table, table.parent)


# Anything at all

SIGNS = st.sampled_from([*"abc019.,\"'\n\r|/\\-+e\0\t ;", "\ufeff", "\u2028", "nan", "inf", "../"])
HEADERS = {
    read_rows: "Image Index,Finding Labels,Patient ID\n",
    read_boxes: "Image Index,Finding Label,Bbox [x,y,w,h]\n",
    read_own_rows: "file,patient,bnp\n",
    read_names: "",
}


@pytest.mark.parametrize("parse", HEADERS, ids=lambda f: f"{f.__module__}.{f.__name__}")
@FUZZ
@given(text=st.lists(SIGNS, max_size=60).map("".join), headed=st.booleans())
def test_any_text_is_read_or_refused(table: Path, parse, text: str, headed: bool) -> None:
    table.write_bytes((HEADERS[parse] * headed + text).encode())
    assert str(table) in outcome(parse, table)


@pytest.mark.parametrize("parse", HEADERS, ids=lambda f: f"{f.__module__}.{f.__name__}")
@FUZZ
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(table: Path, parse, content: bytes) -> None:
    table.write_bytes(content)
    assert str(table) in outcome(parse, table)


NUMBERS = st.one_of(
    st.floats().map(str), st.integers().map(str), st.text("0123456789.e-+", max_size=9)
)


@FUZZ
@given(numbers=st.lists(NUMBERS, min_size=4, max_size=4))
def test_fuzzed_box_stays_inside_image(table: Path, numbers) -> None:
    from gvr_datasets.chestxray8.dataset import box_slices

    from gvr_bench.data.image_io import place

    table.write_text(HEADERS[read_boxes] + f"a.png,Mass,{','.join(numbers)}\n")
    try:
        (boxes,) = read_boxes(table, table.parent).values()
    except gvr.DataError:
        return
    for edges in ((1024, 1024), (1, 3000), (500, 200)):
        rows, columns = box_slices(boxes[0], place(*edges, 64))
        assert 0 <= rows.start < rows.stop <= 64
        assert 0 <= columns.start < columns.stop <= 64
