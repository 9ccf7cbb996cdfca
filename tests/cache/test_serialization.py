"""Files: what was written reads back, and is whole or absent."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gvr_bench.cache.hdf5 import put_rows, read_arrays, write_arrays, writing_arrays
from gvr_bench.cache.serialization import (
    read_json,
    read_state,
    read_weights,
    replacing,
    write_json,
    write_state,
    write_weights,
)
from gvr_bench.core.errors import CacheError, CorruptFileError
from gvr_bench.core.stage import canonical
from gvr_bench.results.records import write_records


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


WRITERS = {
    "x.json": lambda path: write_json(path, ["text"] * 100_000),
    "x.safetensors": lambda path: write_weights(path, {"w": torch.zeros(1_000_000)}),
    "x.h5": lambda path: write_arrays(path, {"a": np.zeros(1_000_000)}),
    "noise.h5": lambda path: write_arrays(
        path, {"a": np.random.default_rng(0).normal(size=(500, 32, 32)), "b": np.array(["text"])}
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_leaves_nothing_behind(small_disk: Path, name: str) -> None:
    with pytest.raises(CacheError) as caught:
        WRITERS[name](small_disk / name)
    assert "No space left on device" in str(caught.value)
    assert str(small_disk / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(small_disk.iterdir()) == []


def test_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    path = small_disk / "x.h5"
    write_arrays(path, {"a": np.arange(3)})
    with pytest.raises(CacheError):
        write_arrays(path, {"a": np.zeros(1_000_000)})
    np.testing.assert_array_equal(read_arrays(path)["a"], np.arange(3))


@pytest.mark.parametrize("name", [*WRITERS, "x.jsonl"])
def test_writing_below_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    writers = WRITERS | {"x.jsonl": lambda path: write_records(path, [])}
    with pytest.raises(CacheError, match=r"cannot write .*file"):
        writers[name](tmp_path / "file" / name)


def test_interrupted_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    def half_an_array() -> None:
        with writing_arrays(tmp_path / "x.h5") as file:
            file["a"] = np.arange(3)
            raise KeyboardInterrupt

    def half_a_text() -> None:
        with replacing(tmp_path / "x.txt") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    for write in (half_an_array, half_a_text):
        with pytest.raises(KeyboardInterrupt):
            write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89HDF\r\n\x1a\n and then nothing"])
@pytest.mark.parametrize("read", [read_arrays, read_weights, read_state, read_json])
def test_damaged_file_is_corrupt(tmp_path: Path, content: bytes, read) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"cannot read .*damaged"):
        read(path)


@pytest.mark.parametrize("read", [read_arrays, read_weights, read_state, read_json])
def test_missing_file_is_named(tmp_path: Path, read) -> None:
    with pytest.raises(CacheError, match=r"cannot read .*absent"):
        read(tmp_path / "absent")


def test_missing_array_is_named(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.h5", {"a": np.arange(3)})
    with pytest.raises(CacheError, match=r"cannot read .*x\.h5.*attribution"):
        read_arrays(tmp_path / "x.h5", "attribution")


@pytest.mark.parametrize(
    "array",
    [
        np.array(["naïve", "", "胸部"]),
        np.array([], dtype="U5"),
        np.array([True, False]),
        np.zeros((0, 1, 8, 8), np.uint8),
        np.arange(256, dtype=np.uint8).reshape(2, 1, 8, 16),
        np.array([np.nan, -np.inf, 1e-30], np.float32),
        np.array(7),
        np.zeros((2, 0, 3)),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_survive_a_round_trip(tmp_path: Path, array: np.ndarray) -> None:
    write_arrays(tmp_path / "x.h5", {"one": array, "group/two": array})
    arrays = read_arrays(tmp_path / "x.h5", "one", "group/two")
    for back in arrays.values():
        np.testing.assert_array_equal(back, array)
        assert back.dtype.kind == array.dtype.kind
        assert back.shape == array.shape
    assert list(read_arrays(tmp_path / "x.h5")) == ["one"]


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), betas=(0.5, 0.9))
    for _ in range(2):
        net(torch.randn(2, 3, 8, 8)).square().mean().backward()
        adam.step()
    return net, adam


def same(a: object, b: object) -> bool:
    """Whether two trees are equal in type, value and, for tensors, layout in memory."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.stride() == b.stride() \
            and torch.equal(a, b)  # fmt: skip
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_training_state_survives_a_round_trip(tmp_path: Path) -> None:
    net, adam = trained()
    tree = {
        "net": dict(net.state_dict()),
        "adam": adam.state_dict(),
        "best": {"loss": math.inf, "seen": [1, (2.5, "x", None, True)], 7: {}},
        "empty": [torch.zeros(0), torch.tensor(3), torch.ones(2, dtype=torch.bfloat16)],
    }
    assert tree["adam"]["state"][0]["exp_avg"].stride() == (27, 1, 9, 3)  # channels last
    write_state(tmp_path / "x", tree)
    assert same(read_state(tmp_path / "x"), tree)


def test_canonical_json_sorts_and_refuses_nan() -> None:
    assert canonical({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(math.nan)


def test_parts_with_other_arrays_are_refused(tmp_path: Path) -> None:
    with writing_arrays(tmp_path / "x.h5") as file:
        put_rows(file, {"a": np.zeros(2), "b": np.zeros(2)}, 0, 4)
        with pytest.raises(ValueError, match=r"\['a'\] are given after \['a', 'b'\]"):
            put_rows(file, {"a": np.zeros(2)}, 2, 4)


def test_parts_equal_one_write(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "attribution": rng.random((5, 3, 3), np.float32),
        "steps": np.arange(5),
        "success": np.arange(5) > 2,
        "reason": np.array(["", "why", "so", "", "späte Worte"]),
    }
    with writing_arrays(tmp_path / "parts.h5") as file:
        for start in (0, 2, 4):
            put_rows(file, {k: v[start : start + 2] for k, v in arrays.items()}, start, 5)
    write_arrays(tmp_path / "whole.h5", arrays)
    parts, at_once = read_arrays(tmp_path / "parts.h5"), read_arrays(tmp_path / "whole.h5")
    assert parts.keys() == at_once.keys()
    for name, array in at_once.items():
        np.testing.assert_array_equal(parts[name], array)
        assert parts[name].dtype == array.dtype
