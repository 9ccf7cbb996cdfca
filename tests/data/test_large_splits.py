"""Splits too large to be held: read from their file, bit for bit the same, in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_stages import AREA, BINARY, Bank, Squares

from gvr_bench.cache.hdf5 import write_arrays, writing_arrays
from gvr_bench.core.errors import CacheError
from gvr_bench.data import stored_images as module
from gvr_bench.data.stored_images import FilePixels, StoredImages, find_rows, read_pixels

CPU = torch.device("cpu")


@pytest.fixture
def unheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every split is too large."""
    monkeypatch.setattr(module, "MAX_IN_MEMORY", 0)


def noise(n: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, channels, 6, 6), np.uint8)


def write(path: Path, pixels: np.ndarray, per: int) -> Path:
    with writing_arrays(path) as file:
        file.create_dataset("before", data=np.arange(1000.0))
        ds = file.create_dataset("test/images", data=pixels, chunks=(per, *pixels.shape[1:]))
        ds[:] = pixels
    return path


@pytest.mark.parametrize("per", [1, 4, 7, 10, 23])
def test_chunking_keeps_every_image(tmp_path: Path, unheld, per: int) -> None:
    pixels = noise(23)
    filed = read_pixels(write(tmp_path / "x.h5", pixels, per), "test/images", CPU)
    assert isinstance(filed, FilePixels)
    index = torch.tensor([22, 0, 7, 7, 13, 3])
    np.testing.assert_array_equal(filed[index].numpy(), pixels[index])
    np.testing.assert_array_equal(filed[torch.arange(23)].numpy(), pixels)
    assert filed[torch.arange(0)].shape == (0, 3, 6, 6)


def test_shrinking_file_is_named(tmp_path: Path, unheld) -> None:
    path = write(tmp_path / "x.h5", noise(23), 4)
    filed = read_pixels(path, "test/images", CPU)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(CacheError, match=r"cannot read .*x\.h5: it ends before"):
        filed[torch.arange(23)]


def test_compressed_arrays_are_read_whole(tmp_path: Path, unheld) -> None:
    write_arrays(tmp_path / "x.h5", {"zipped": noise(5), "flat": np.arange(6, dtype=np.uint8)})
    for name in ("zipped", "flat"):
        assert find_rows(tmp_path / "x.h5", name) is None
        assert isinstance(read_pixels(tmp_path / "x.h5", name, CPU), torch.Tensor)


@pytest.mark.parametrize("name", ["absent", "test", "test/images/more"])
def test_missing_images_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheError, match=r"cannot read .*x\.h5"):
        find_rows(write(tmp_path / "x.h5", noise(5), 2), name)


@pytest.mark.parametrize("task", [BINARY, AREA])
def test_large_and_small_splits_agree(tmp_path: Path, monkeypatch, task) -> None:
    bank = Bank(tmp_path)
    stage = bank.stage("scores", bank.data(Squares(task)))
    held = bank.stage_ctx(stage).images("train")
    monkeypatch.setattr(module, "MAX_IN_MEMORY", 0)
    filed = bank.stage_ctx(stage).images("train")
    assert isinstance(filed, StoredImages)
    assert isinstance(filed.pixels, FilePixels)
    assert len(filed) == len(held) == 48
    index = torch.randperm(48)
    assert torch.equal(filed[index], held[index])
    assert filed[index].stride() == held[index].stride()
    assert torch.equal(filed.targets, held.targets)
    assert list(filed.patient_ids) == list(held.patient_ids)


READ_ALL = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from gvr_bench.cache.hdf5 import write_arrays, writing_arrays
from gvr_bench.data.stored_images import StoredImages
from gvr_bench.core.types import Task

path, n, shape = Path(sys.argv[1]), 17_000, (1, 128, 128)
with writing_arrays(path) as file:
    images = file.create_dataset("train/images", (n, *shape), np.uint8, chunks=(16, *shape))
    part = np.random.default_rng(0).integers(0, 256, (500, *shape), np.uint8)
    for start in range(0, n, 500):
        images[start : start + 500] = part
    file["train/targets"] = np.zeros((n, 1), np.float32)
    file["train/patient_ids"] = [str(i) for i in range(n)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images = StoredImages(path, "train", Task("binary", ("mass",)), torch.device("cpu"))
for index in torch.randperm(n).split(128):
    images[index]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_large_split_needs_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ_ALL, str(tmp_path / "x.h5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 * 1024, f"{done.stdout.strip()} KiB more"
