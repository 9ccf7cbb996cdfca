"""Reading a data set that is killed goes on where it was, and ends with the same bytes."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_up_stages import BINARY, Bank, KilledError, Squares
from PIL import Image
from tiny import command

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_bench.cache.gc import collect
from gvr_bench.core.stage import Stage
from gvr_bench.core.types import Split
from gvr_bench.pipeline.steps import data
from gvr_bench.pipeline.steps import shards as chunks
from gvr_bench.pipeline.steps.data import compute_data

ALL = 48 + 24 + 24

# Reads a folder in chunks of 8, says so, and kills itself before the one that is named.
READING = """
import os, signal, sys
from pathlib import Path
import torch
from gvr_bench.api import Context
from gvr_bench.pipeline.steps import shards as chunks
from gvr_bench.pipeline.steps import data
from gvr_bench.pipeline.stage_context import StageContext
from gvr_bench.core.stage import Stage
from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.checkpoints import FileCheckpoints
from gvr_datasets.folder.dataset import ImageFolder

files, root, killed_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
data.CHUNK, chunks.MIN_SECONDS, read, count = 8, 0, data.Reader.read, 0

def dying(self, *given):
    global count
    count += 1
    if count == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    print("reads", flush=True)
    return read(self, *given)

data.Reader.read = dying
dataset = ImageFolder(ImageFolder.Settings(size=16, skip=0.1), files)
stage, cache = Stage("data", "folder", "1", {}, component=dataset), ArtifactCache(root)
checkpoints = FileCheckpoints(cache.write_dir(stage) / "work", 30.0)
with cache.lock(stage):
    ctx = Context(torch.device("cpu"), checkpoints=checkpoints)
    data.compute_data(StageContext(stage, cache, ctx))
    cache.commit(stage, {"seconds": 0.0})
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "CHUNK", 16)
    monkeypatch.setattr(chunks, "MIN_SECONDS", 0)


def pictures(folder: Path) -> Path:
    """A folder of 40 images, one of which is no image."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,split,finding"]
    for i in range(40):
        split = "train" if i < 20 else "validation" if i < 30 else "test"
        lines.append(f"{i}.png,{split},{i % 2}")
        Image.fromarray(rng.integers(0, 256, (20, 24), np.uint8)).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"no image")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder


def read(files: Path, root: Path, killed_at: int = 0) -> tuple[int, int]:
    """Read in a process of its own; return its exit code, and how many chunks it read."""
    command = [sys.executable, "-c", READING, str(files), str(root), str(killed_at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.count("reads")


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (root / "data").rglob("*") if path.suffix == ".h5"
    } | {path.name: path.read_bytes() for path in (root / "data").rglob("skipped.json")}


def test_killed_reading_gives_the_same_bytes(tmp_path: Path) -> None:
    files, root = pictures(tmp_path / "files"), tmp_path / "killed"
    assert read(files, root, killed_at=3) == (-signal.SIGKILL, 2)
    assert read(files, root, killed_at=3) == (-signal.SIGKILL, 2)
    assert read(files, root) == (0, 3)  # of 3 + 2 + 2 chunks
    assert read(files, tmp_path / "whole") == (0, 7)
    complete = files_of(tmp_path / "whole")
    assert set(complete) == {"data.h5", "skipped.json"}
    assert files_of(root) == complete
    assert not list(root.glob("data/*/work"))


def checkpoints(bank: Bank, stage: Stage) -> FileCheckpoints:
    return FileCheckpoints(ArtifactCache(bank.root).write_dir(stage) / "work", 30.0)


def killed(bank: Bank, stage: Stage, at: int) -> list[Path]:
    """Read until so many images are read; return the chunks that are kept."""

    def kill(done: int, total: int, detail: str) -> None:
        if done >= at:
            raise KilledError

    stored = checkpoints(bank, stage)
    with pytest.raises(KilledError):
        bank.compute(stage, compute_data, checkpoints=stored, progress=kill)
    return sorted(stored.work.iterdir())


def pixels(bank: Bank, stage: Stage, **more: Any) -> dict[str, np.ndarray]:
    built = bank.compute(stage, compute_data, **more)
    with h5py.File(built.data()) as file:
        return {name: file[name]["images"][:] for name in file}


@pytest.mark.parametrize("spoil", [b"", b"nothing of ours"])
def test_damaged_chunk_is_read_again(tmp_path: Path, spoil: bytes) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Squares(BINARY))
    complete = pixels(Bank(tmp_path / "whole"), stage)
    for path in killed(bank, stage, 32):
        path.write_bytes(spoil)
    done: list[int] = []
    again = pixels(
        bank, stage, checkpoints=checkpoints(bank, stage), progress=lambda n, *_: done.append(n)
    )
    assert done[0] == 0
    for name, images in complete.items():
        np.testing.assert_array_equal(again[name], images)


def test_stored_chunks_are_not_read_again(tmp_path: Path) -> None:
    calls: list[int] = []

    class Watched(Squares):
        def split(self, name: str) -> Split:
            built = super().split(name)

            def images(index: np.ndarray) -> np.ndarray:
                calls.extend(index)
                return built.images(index)

            return Split(built.sample_ids, built.patient_ids, built.targets, images)

    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Watched(BINARY))
    assert len(killed(bank, stage, 32)) == 2
    assert len(calls) == 32
    done: list[int] = []
    pixels(bank, stage, checkpoints=checkpoints(bank, stage), progress=lambda n, *_: done.append(n))
    assert len(calls) == ALL
    assert (done[0], done[-1]) == (32, ALL)


def test_fast_chunks_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MIN_SECONDS", 60)
    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Squares(BINARY))
    stored = checkpoints(bank, stage)
    pixels(bank, stage, checkpoints=stored)
    assert not stored.work.exists()


def test_gc_leaves_chunks_of_unfinished_reading(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Squares(BINARY))
    left = killed(bank, stage, 32)
    assert collect(ArtifactCache(tmp_path)) == []
    assert all(path.exists() for path in left)


def test_large_images_come_in_small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("data", component=Squares(BINARY))
    complete = pixels(bank, stage)
    monkeypatch.setattr(data, "CHUNK_BYTES", 5 * 16 * 16)
    done: list[int] = []
    again = pixels(bank, stage, progress=lambda n, *_: done.append(n))
    assert done[:3] == [0, 5, 10]
    for name, images in complete.items():
        np.testing.assert_array_equal(again[name], images)


def test_images_that_find_no_space_are_refused_in_one_line(tmp_path: Path) -> None:
    limit = 2**20  # bytes of a file; it stands for a disk, and HDF5 crashes the same
    typed = command(
        "--quiet", "--cache-dir", tmp_path / "cache", "--out", tmp_path / "run",
        dataset="phantom:size=32,train=2000,validation=16,test=32",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "gvr_bench", *map(str, typed)],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    (error,) = done.stderr.splitlines()
    assert error.startswith(f"error: cannot write {tmp_path}")
    assert "File too large" in error
    assert done.returncode == 2
