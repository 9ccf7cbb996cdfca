"""Damaged runs: each is one line that names the file and what to type, or a page; never a crash."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_run import SOME, whole_scoreboard, write_whole_run
from rich.console import Console

from gvr_bench.core.errors import DataError, GvrError
from gvr_bench.report.data import load_report
from gvr_bench.report.html import render
from gvr_bench.report.table_formats import export
from gvr_bench.report.terminal import show

FILES = ("records.jsonl", "spec.toml", "environment.json", "cases.h5", "values.h5",
         "protocols.json")  # fmt: skip
NEEDED = FILES[:3]
WRONG = (None, 3, -1, 1e400, float("nan"), "x", "", [], {}, [1], {"a": 1}, True, "\ud83d", 10**30)
ABSENT = object()


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    board = whole_scoreboard(n=5, metrics=SOME)
    return write_whole_run(tmp_path_factory.mktemp("whole") / "run", board)


@pytest.fixture
def copy(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "run"))


def outcomes(folder: Path) -> Iterator[str]:
    """What the page, the terminal and an export come to: nothing, or a message of one line."""
    readers: tuple[Callable[[], object], ...] = (
        lambda: render(folder).encode(),
        lambda: show(load_report([folder]), Console(file=io.StringIO(), width=80)),
        lambda: export([folder], "markdown").encode(),
    )
    for read in readers:
        try:
            read()
        except GvrError as error:
            message = " ".join(str(error).split())
            assert "gvr-bench" in message
            yield message
        else:
            yield ""


@pytest.mark.parametrize("name", FILES)
def test_missing_required_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    for message in outcomes(copy):
        assert (f"{name} is missing" in message) == (name in NEEDED)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", [name for name in FILES if name != "spec.toml"])
def test_truncated_file_is_named(copy: Path, name: str, keep: float) -> None:
    path = copy / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)].rstrip(b"\n"))
    results = list(outcomes(copy))
    assert name in results[0] or (name == "records.jsonl" and keep == 0)


@pytest.mark.parametrize(
    "content",
    [b"\0" * 100, bytes(range(256)) * 20, b"[" * 100_000, b"null", b"3", b"[]", b'"text"', b"{}"],
    ids=["zeros", "bytes", "deep", "null", "number", "list", "text", "empty object"],
)
@pytest.mark.parametrize("name", [name for name in FILES if name != "spec.toml"])
def test_foreign_content_is_named(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    results = list(outcomes(copy))
    # An environment in which everything is unknown is poor, but one.
    assert name in results[0] or (name, content) == ("environment.json", b"{}")


@pytest.mark.parametrize("name", FILES)
def test_folder_counts_as_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    (copy / name).mkdir()
    assert [bool(message) for message in outcomes(copy)] == [name in NEEDED] * 3


def with_changed_record(folder: Path, field: str, value: object) -> Path:
    path = folder / "records.jsonl"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(first)
    if value is ABSENT:
        del row[field]
    else:
        row[field] = value
    path.write_text("\n".join([json.dumps(row), *rest]), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "high"), ("value", float("nan")), ("value", [1]), ("n", None), ("n", 1.5),
        ("seed", "0"), ("keys", "abc"), ("keys", [1]), ("status", "fine"), ("better", "sideways"),
        ("dataset", None), ("dataset", {}), ("metric", 3), ("reason", []), ("protocol", True),
        ("explainer", 7), ("dataset", "\ud83d"), ("dataset", ABSENT), ("colour", "red"),
    ],
)  # fmt: skip
def test_invalid_record_names_line_and_field(copy: Path, field: str, value: object) -> None:
    with_changed_record(copy, field, value)
    for message in outcomes(copy):
        assert "records.jsonl, line 1, is not a record of this version" in message
        assert message.rstrip().endswith(f"gvr-bench run {copy / 'spec.toml'} --out {copy}")
        assert value == "\ud83d" or field in message


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x1c", "\r"])
def test_unicode_line_ends_keep_records(copy: Path, sign: str) -> None:
    path = copy / "records.jsonl"
    text = path.read_text(encoding="utf-8")
    name = json.dumps(f"sali{sign}ency", ensure_ascii=False)
    path.write_text(text.replace('"saliency"', name), encoding="utf-8", newline="")
    assert list(outcomes(copy)) == ["", "", ""]


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in nested JSON, of lists and long objects the first only."""
    if isinstance(content, dict):
        items = list(content.items())[:11]
    else:
        items = list(enumerate(content))[:1] if isinstance(content, list) else []
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("name", ["environment.json", "protocols.json"])
def test_wrong_json_types_name_file(copy: Path, name: str) -> None:
    path = copy / name
    text = path.read_text(encoding="utf-8")
    wrong = itertools.cycle(WRONG)  # a place gets two of them, its neighbour the next two
    for place in places(json.loads(text)):
        for value in itertools.islice(wrong, 2):
            content = part = json.loads(text)
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            path.write_text(json.dumps(content), encoding="utf-8")
            try:
                show(load_report([copy]), Console(file=io.StringIO(), width=80))
            except DataError as error:
                assert name in str(error)  # noqa: PT017 - a table is as good


def arrays(path: Path) -> list[str]:
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    return names


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda old: np.zeros(0),
    "words": lambda old: "hello",
    "one number": lambda old: 3.0,
    "too short": lambda old: old[:1],
    "flat": lambda old: np.zeros(np.size(old)),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", [*DAMAGES, "absent"])
@pytest.mark.parametrize("name", ["cases.h5", "values.h5"])
def test_misshapen_arrays_name_file(copy: Path, intact: Path, name: str, damage: str) -> None:
    wrong = 0
    for array in arrays(intact / name):
        shutil.copy(intact / name, copy / name)
        with h5py.File(copy / name, "a") as file:
            old = file[array][()]
            del file[array]
            if damage != "absent":
                file[array] = DAMAGES[damage](old)
        message = next(outcomes(copy))
        assert not message or name in message
        wrong += bool(message)
    assert wrong


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("outputs", "null"), ("outputs", "[1]"), ("outputs", "{"), ("outputs", "[]"),
        ("kind", "oracle"), ("threshold", "high"), ("seed", "one"), ("unit", b"\xe4\xff"),
        ("dataset", b"\xe4\xff"),
    ],
)  # fmt: skip
def test_wrong_case_attribute_is_refused(copy: Path, attribute: str, value: str | bytes) -> None:
    with h5py.File(copy / "cases.h5", "a") as file:
        text = h5py.string_dtype("utf-8")
        file["0"].attrs.create(attribute, value, dtype=text)
    assert "cases.h5 is not the cases of a run" in next(outcomes(copy))


def test_unknown_class_is_refused(copy: Path) -> None:
    with h5py.File(copy / "cases.h5", "a") as file:
        file["0/source_class"][:] = 7
    assert "source_class is not one of the 1 outputs" in next(outcomes(copy))


def counted(folder: Path) -> list[str]:
    """The lines of the records, whose number the environment now tells."""
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    environment["records"] = len(lines)
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return lines


@pytest.mark.parametrize("keep", [0, 1, -1])
def test_missing_records_are_counted(copy: Path, keep: int) -> None:
    lines = counted(copy)
    assert list(outcomes(copy)) == ["", "", ""]
    (copy / "records.jsonl").write_text("".join(lines[:keep]), encoding="utf-8")
    for message in outcomes(copy):
        assert f"records.jsonl holds {len(lines[:keep])} records of {len(lines)}" in message


@pytest.mark.parametrize("spec", [b"= [[[ broken", b"\xff\xfe\0", b'name = "cut o'])
def test_broken_spec_is_named(copy: Path, spec: bytes) -> None:
    (copy / "spec.toml").write_bytes(spec)
    assert all("cannot read" in line and "spec.toml" in line for line in outcomes(copy))


def test_missing_spec_suggests_no_default_run(copy: Path) -> None:
    (copy / "spec.toml").unlink()
    for message in outcomes(copy):
        assert f"gvr-bench run --out {copy}" not in message
