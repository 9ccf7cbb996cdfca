from __future__ import annotations

import random
import re

import pytest

from gvr_bench.report.file_names import file_names

SAFE = re.compile(r"[A-Za-z0-9_=+][A-Za-z0-9._=+-]*")
HOSTILE = [
    "../../etc/passwd", "..", ".", "", "/", "C:\\x", "a/b", "a-b", "a b", "A-B", "nul",
    "COM1.txt", ".hidden", "end.", "😀", "👩‍🔬", "שלום", "\u202egnp.exe", "x" * 300, "x" * 299,
    "\x00", "\ud800", "a\nb", "~", "*?", "é", "e\u0301", "-rf",
]  # fmt: skip


def test_hostile_names_are_safe_and_distinct() -> None:
    names = file_names(HOSTILE)
    assert len({name.casefold() for name in names}) == len(HOSTILE)
    for name in names:
        assert SAFE.fullmatch(name)
        assert len(name) <= 100
        assert name.casefold().split(".")[0] not in ("con", "nul", "com1")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["test-0001", "IM_7.png"], ["test-0001", "IM_7.png"]),
        (["gvr:steps=50"], ["gvr-steps=50"]),
        (["../../etc/passwd"], ["etc-passwd"]),
        (["x", "x", "x"], ["x", "x-2", "x-3"]),
        (["x", "x", "x-2"], ["x", "x-2", "x-2-2"]),
    ],
)
def test_file_names_resemble_names(words: list[str], expected: list[str]) -> None:
    assert file_names(words) == expected


def test_file_names_ignore_order() -> None:
    there = dict(zip(HOSTILE, file_names(HOSTILE), strict=True))
    order = random.Random(1).sample(HOSTILE, len(HOSTILE))
    assert dict(zip(order, file_names(order), strict=True)) == there


def test_reserved_names_are_avoided() -> None:
    (name,) = file_names(["Input"], reserved=["input"])
    assert name.startswith("Input-")
