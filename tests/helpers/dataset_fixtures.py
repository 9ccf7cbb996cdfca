"""Folders in the layouts of MNIST and of the NIH release, made of nothing."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.chestxray8.dataset import ChestXray8
from numpy.typing import NDArray
from PIL import Image

import gvr_bench.api as gvr

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h]"
Rows = Iterable[tuple[str, str, str]]


class Nih:
    """A folder that a test fills step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def table(
        self, rows: Rows, name: str = "Data_Entry_2017.csv", header: str = HEADER, end: str = ""
    ) -> Path:
        lines = [
            f"{image},{findings},0,{patient},60,M,PA,2500,2048,0.168,0.168"
            for image, findings, patient in rows
        ]
        return self.text(name, [header, *lines], end)

    def boxes(self, *lines: str, end: str = "") -> Path:
        return self.text("BBox_List_2017.csv", [BOX_HEADER, *lines], end)

    def text(self, name: str, lines: Iterable[str], end: str = "") -> Path:
        path = self.root / name
        path.write_text("".join(f"{line}{end}\n" for line in lines), encoding="utf-8")
        return path

    def image(self, name: str, pixels: object = None, folder: str = "images") -> Path:
        """`pixels` is an array, a Pillow image, or None for a flat grey one."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.full((16, 16), 99, np.uint8)
        picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        picture.save(path)
        return path

    def lists(self, train: Iterable[str], test: Iterable[str]) -> None:
        self.text("train_val_list.txt", train)
        self.text("test_list.txt", test)

    def fill(self, rows: Rows, folder: str = "images") -> None:
        """Write the table and a flat image for each row."""
        rows = list(rows)
        self.table(rows)
        for name, _, _ in rows:
            self.image(name, folder=folder)

    def data(self, **settings: object) -> ChestXray8:
        return ChestXray8(ChestXray8.Settings(**settings), self.root)

    def splits(self, **settings: object) -> dict[str, gvr.Split]:
        data = self.data(**settings)
        return {name: data.split(name) for name in ("train", "validation", "test")}

    def fault(self, **settings: object) -> str:
        """The one line that a user reads."""
        with pytest.raises(gvr.DataError) as caught:
            self.data(**settings).fingerprint()
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def nih(tmp_path: Path) -> Nih:
    return Nih(tmp_path / "nih")


@pytest.fixture
def patients() -> Callable[..., list[tuple[str, str, str]]]:
    """Rows of n patients with some images each."""

    def rows(n: int, each: int = 1) -> list[tuple[str, str, str]]:
        return [
            (f"{patient:08d}_{visit:03d}.png", "No Finding", str(patient))
            for patient in range(1, n + 1)
            for visit in range(each)
        ]

    return rows


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


@pytest.fixture(scope="session")
def mnist_files() -> dict[str, bytes]:
    """The four files of a small MNIST: 5,020 training and 30 test images of noise."""
    rng = np.random.default_rng(0)
    files = {}
    for prefix, n in (("train", 5_020), ("t10k", 30)):
        pixels = np.zeros((n, 28, 28), np.uint8)
        pixels[:, 10:14, 10:14] = rng.integers(0, 256, (n, 4, 4), np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx(pixels)
        files[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    return files


@pytest.fixture
def write_mnist(mnist_files: dict[str, bytes]) -> Callable[..., Path]:
    """Write the four files into a folder, gzipped when asked for."""

    def write(folder: Path, *, zipped: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in mnist_files.items():
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1))
            else:
                (folder / name).write_bytes(data)
        return folder

    return write


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Find real data beside the checkout, or skip."""

    def find(name: str) -> Path:
        folder = (Path(__file__).parents[2] / "../shared/data" / name).resolve()
        if not folder.is_dir():
            pytest.skip(f"real data is not there: {folder}")
        return folder

    return find
