"""Files of a cache or a run that are damaged, or were made by somebody else to do harm."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gvr_bench.cache.hdf5 import read_arrays, write_arrays
from gvr_bench.cache.serialization import (
    read_json,
    read_state,
    read_weights,
    write_json,
    write_state,
    write_weights,
)
from gvr_bench.core.errors import CacheError, DataError, GvrError
from gvr_bench.results.case_scores import (
    RunValues,
    Whose,
    read_values,
    write_values,
)
from gvr_bench.results.records import Record, read_protocols, read_records, write_records
from gvr_bench.results.run_folder import open_cases

FUZZ = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RECORD = Record(
    "phantom", "wgan-gp", "conv", "linear", "gvr", "BNP", "pixel_ap", "1", "up",
    0.5, 0.4, 0.6, 9, 0, 1.5, "cpu", "abc", ("k1", "k2"),
)  # fmt: skip
WHOSE = Whose("d", "g", "e", "h", 0, "gvr")
SECRET = np.arange(8, dtype=np.uint8)


def refused(read, path: Path) -> str:
    with pytest.raises(CacheError) as caught:
        read(path)
    assert str(caught.value).startswith(f"cannot read {path}: ")
    return str(caught.value)


# HDF5 that leads elsewhere


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that nobody was asked to read."""
    path = tmp_path / "elsewhere" / "secret.h5"
    write_arrays(path, {"secret": SECRET, "group/secret": SECRET})
    (path.parent / "secret.bin").write_bytes(SECRET.tobytes())
    return path


def linked(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.ExternalLink(str(secret), "secret")


def linked_group(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.ExternalLink(str(secret), "/")


def stored_outside(file: h5py.File, secret: Path) -> None:
    raw = str(secret.with_suffix(".bin"))
    file.create_dataset("a", (8,), np.uint8, external=[(raw, 0, 8)])


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((8,), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "secret", (8,))
    file.create_virtual_dataset("a", layout)


@pytest.mark.parametrize("lead", [linked, linked_group, stored_outside, virtual])
@pytest.mark.parametrize("name", ["a", "a/secret"])
def test_external_arrays_are_not_read(tmp_path: Path, secret: Path, lead, name: str) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        lead(file, secret)
    refused(lambda p: read_arrays(p, name), path)
    refused(read_arrays, path)


def test_external_values_are_not_read(tmp_path: Path) -> None:
    write_values(tmp_path / "other.h5", RunValues({(WHOSE, "m"): np.arange(3.0)}, {}))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "0")
    assert "lies in another file" in refused(read_values, tmp_path / "x.h5")


@pytest.mark.parametrize("lead", [linked, linked_group, stored_outside, virtual])
def test_external_cases_are_not_read(tmp_path: Path, secret: Path, lead) -> None:
    with h5py.File(tmp_path / "cases.h5", "w") as file:
        lead(file.create_group("0"), secret)
    with pytest.raises(DataError, match=r"cases\.h5: .*(is a link|lies in another file)"):
        open_cases(tmp_path)


# HDF5 that says it is huge, or is no array


def test_absent_huge_arrays_are_not_allocated(tmp_path: Path) -> None:
    for name, more in (
        ("whole", {}),
        ("cut", {"chunks": (1, 2**20)}),
        ("zip", {"chunks": (1, 99)}),
    ):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("a", (2**20, 2**20), np.float64, **more)
        assert path.stat().st_size < 10_000
        assert "says it holds 8,796,093,022,208 bytes" in refused(read_arrays, path)


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gvr_bench.cache.hdf5.ANY_RATIO", 1_000_000)
    write_arrays(tmp_path / "x.h5", {"a": np.zeros((20, 1000, 1000), np.uint8)})
    assert "says it holds 20,000,000 bytes" in refused(read_arrays, tmp_path / "x.h5")


@pytest.mark.parametrize(
    "kind", [h5py.ref_dtype, h5py.vlen_dtype(np.int32), np.dtype([("x", h5py.ref_dtype)])]
)
def test_object_arrays_are_not_read(tmp_path: Path, kind: np.dtype) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", (3,), kind)
    refused(read_arrays, tmp_path / "x.h5")


def test_group_instead_of_array_is_named(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.h5", {"a/b": np.arange(3)})
    assert "a group where an array" in refused(lambda p: read_arrays(p, "a"), tmp_path / "x.h5")
    refused(lambda p: read_arrays(p, "a/b/c"), tmp_path / "x.h5")


def test_cyclic_groups_do_not_hang(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["loop"] = h5py.SoftLink("/loop")
        file["all"] = file["/"]
    refused(read_arrays, tmp_path / "x.h5")
    refused(lambda p: read_arrays(p, "loop"), tmp_path / "x.h5")
    refused(read_values, tmp_path / "x.h5")


# JSON, weights, states


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '"\\ud800', ""])
def test_pathological_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    refused(read_json, tmp_path / "x.json")


@pytest.mark.parametrize(
    "content",
    [[], 3, {"stages": 3}, {"stages": {}, "protocols": []}, {"stages": {}, "protocols": {"p": 3}},
     {"stages": {}, "protocols": {"p": {"stage": []}}}],
)  # fmt: skip
def test_protocols_of_another_shape_are_named(tmp_path: Path, content) -> None:
    write_json(tmp_path / "x.json", content)
    refused(read_protocols, tmp_path / "x.json")


def test_malformed_training_state_is_named(tmp_path: Path) -> None:
    for note in (
        "", "[]]", "{}", '{"a":1}', '{"items":3}', '{"items":[[{},1]]}', '{"items":[[[],1]]}',
        '{"tensor":["w",[0]]}', '{"tensor":["w",9]}', '{"tensor":["v",[0]]}', '{"list":' * 50_000,
    ):  # fmt: skip
        write_weights(tmp_path / "x", {"w": torch.zeros(2, 3)}, note)
        with pytest.raises(CacheError, match="no state of a training"):
            read_state(tmp_path / "x")


def test_absent_huge_weights_are_named(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    for size in (len(header), 2**63, 2**31):
        (tmp_path / "x").write_bytes(size.to_bytes(8, "little") + header.encode())
        refused(read_weights, tmp_path / "x")


# Records


def test_malformed_records_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])
    intact = path.read_text()
    row = dataclasses.asdict(RECORD)
    odd = [
        {"value": "0.5"}, {"value": []}, {"n": 1.5}, {"n": None}, {"seed": "0"}, {"keys": "ab"},
        {"keys": [1]}, {"status": "fine"}, {"better": "sideways"}, {"extra": 1}, {"dataset": 3},
    ]  # fmt: skip
    for change in odd:
        path.write_text(intact + json.dumps(row | change) + "\n")
        with pytest.raises(DataError, match=r"records\.jsonl, line 2, is not a record") as caught:
            read_records(path)
        assert "\n" not in str(caught.value)
    for text in (intact.replace("0.5", "NaN"), intact.replace("0.5", "Infinity"), "[" * 100_000):
        path.write_text(text)
        with pytest.raises(DataError, match=r"records\.jsonl, line 1, is not a record"):
            read_records(path)


NAMES = st.text(st.characters(codec="utf-8"), max_size=12)


@FUZZ
@given(
    names=st.lists(NAMES, min_size=3, max_size=3),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_records_survive_any_names(tmp_path: Path, names, value: float) -> None:
    record = dataclasses.replace(
        RECORD, dataset=names[0], reason=names[1], output=names[2], value=value
    )
    write_records(tmp_path / "r.jsonl", [record, RECORD])
    assert read_records(tmp_path / "r.jsonl") == [record, RECORD]


# Anything at all


def outcome(read, path: Path) -> str:
    try:
        read(path)
    except GvrError as error:
        return str(error)
    return str(path)


@FUZZ
@given(content=st.binary(max_size=300))
@pytest.mark.parametrize(
    "read", [read_records, read_json, read_protocols, read_weights, read_state, read_arrays]
)
def test_random_bytes_never_crash_readers(tmp_path: Path, read, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert str(tmp_path / "x") in outcome(read, tmp_path / "x")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["stages", "protocols", "items", "tensor", "list", "keys", "0"]), inner
        ),
    ),
    max_leaves=8,
)


@FUZZ
@given(value=JSON)
def test_random_json_never_crashes_readers(tmp_path: Path, value: object) -> None:
    path, state = tmp_path / "x.json", tmp_path / "state"
    path.write_text(json.dumps(value))
    write_weights(state, {"0": torch.zeros(2)}, json.dumps(value))
    for read, file in ((read_records, path), (read_protocols, path), (read_state, state)):
        assert str(file) in outcome(read, file)


@pytest.mark.parametrize("kind", ["arrays", "values", "state"])
def test_truncated_files_are_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    read = {"arrays": read_arrays, "values": read_values, "state": read_state}[kind]
    if kind == "arrays":
        write_arrays(path, {"a": np.arange(100.0), "t": np.array(["naïve"]), "g/i": SECRET})
    elif kind == "values":
        write_values(path, RunValues({(WHOSE, "m"): np.arange(3.0)}, {(WHOSE, "g"): "r"}))
    else:
        write_state(path, {"net": {"w": torch.zeros(3, 4)}, "n": 3})
    intact = path.read_bytes()
    for length in range(0, len(intact), max(1, len(intact) // 100)):
        path.write_bytes(intact[:length])
        refused(read, path)


CHANGED_BYTES = """
import random, sys
from pathlib import Path
import numpy as np
from gvr_bench.core.errors import CacheError
from gvr_bench.cache.hdf5 import read_arrays, write_arrays

path = Path(sys.argv[1])
write_arrays(path, {"a": np.arange(100.0), "g/i": np.zeros((4, 1, 8, 8), np.uint8)})
intact, rng = path.read_bytes(), random.Random(0)
for _ in range(400):
    changed = bytearray(intact)
    for _ in range(rng.choice([1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    path.write_bytes(changed)
    for names in ((), ("a", "g/i")):
        try:
            read_arrays(path, *names)
        except CacheError:
            pass
"""


def test_flipped_bytes_never_crash_hdf5(tmp_path: Path) -> None:
    done = subprocess.run(  # a crash of the HDF5 library would take the tests with it
        [sys.executable, "-c", CHANGED_BYTES, str(tmp_path / "x.h5")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
