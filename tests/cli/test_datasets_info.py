"""`gvr-bench datasets info`: counts, cautions and the sheet of a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gvr_bench.cli.main import app

RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """120 images of two classes; each test image but one is new."""
    for split, n in (("train", 80), ("valid", 20), ("test", 20)):
        for k in range(n):
            folder = tmp_path / "data" / split / ("sick" if k % 2 else "well")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = RNG.integers(0, 256, (40, 40), np.uint8)
            Image.fromarray(pixels).save(folder / f"{k}.png")
    return tmp_path / "data"


def info(root: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["datasets", "info", *options, "--data-root", str(root)])
    assert result.exit_code == 0, result.output
    return result.output


def test_info_counts_each_split_and_class(root: Path) -> None:
    lines = [line.split() for line in info(root, "folder").splitlines()]
    for row in (["images", "80", "20", "20"], ["sick", "40", "10", "10"]):
        assert row in lines


def test_info_says_what_is_doubtful(root: Path) -> None:
    (root / "test/sick/1.png").write_bytes((root / "train/sick/3.png").read_bytes())
    Image.new("L", (40, 40)).save(root / "train/well/0.png")
    (root / "train/well/2.png").write_bytes(b"")
    output = " ".join(info(root, "folder", "--decode", "all").split())
    for part in (
        "images are 40 x 40 pixels large and are read at 32",
        "1 images of test are the same as images of train (the first is 'test/sick/1.png'",
        "1 of 119 images are one colour throughout (the first is 'train/well/0.png')",
        "1 images cannot be read, the first is train/well/2.png",
        "119 of 120 images were looked at",
    ):
        assert part in output


def test_info_writes_a_sheet(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/sheet.png"
    assert "nine images of each class are in" in info(root, "folder", "--out", str(out))
    with Image.open(out) as image:
        assert image.size == (9 * 68 + 4, 2 * 86 + 4)
